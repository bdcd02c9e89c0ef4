"""Two processes learn what one does; one pair is started by torchrun, as a user would."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from lpt.checkpoint.files import latest_checkpoint, list_checkpoints
from lpt.machine.processes import Ranks
from lpt.training import resume
from lpt.training.diagnosis import diagnose

KINDS = {
    "bc": ["--algorithm", "bc"],
    "dt": ["--algorithm", "dt"],
    "dt-final": ["--algorithm", "dt-final"],
    "goal": ["--algorithm", "goal"],
    "amortized": ["--model.remembered-plans", "24"],
    "amortized, corrected": ["--posterior.steps", "2", "--proposal.view", "end"],
    "langevin": ["--engine", "langevin"],
    "langevin-paper": ["--engine", "langevin-paper"],
    "preconditioned": ["--engine", "preconditioned"],
    "variational": ["--engine", "variational"],
    "whole, noisy": ["--sampler.segments", "0", "--training.observation-noise", "0.1"],
    "history": "--training.history-dropout 0.5 --training.history-dropout-updates 9".split(),
    "own evidence": (
        "--engine langevin --posterior.trajectories 5 --posterior.segments 3 --posterior.warmup 2 "
        "--sampler.stratified"
    ).split(),
    "one chain": (
        "--engine langevin --posterior.trajectories 1 --posterior.segments 3 "
        "--posterior.warmup 2 --training.log-every 1"
    ).split(),
    "two trajectories": ["--engine", "langevin-paper", "--sampler.batch-trajectories", "2"],
}
SAVING = ["--training.checkpoint-minutes", "0.002", "--evaluation.episodes", "1"]


def start_two(forks, module, *arguments, folders=(None, None)):
    """Run a module in two processes that know each other, as those of torchrun do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}
    two = []
    for rank, folder in enumerate(folders):
        own = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        two.append(forks.start(module, *arguments, environment={**meeting, **own}, cwd=folder))
    return two


@pytest.fixture(scope="module")
def commands(umaze, flags) -> list[list[str]]:
    """The command line of every kind."""
    return [[*flags(umaze, None, 6), *more] for more in KINDS.values()]


@pytest.fixture(scope="module")
def learned(commands, forks, learn_here, tmp_path_factory) -> Path:
    """What one process and what two have learned of every kind."""
    folder = tmp_path_factory.mktemp("learned")
    listed = folder / "commands.json"
    listed.write_text(json.dumps(commands))
    pair = start_two(forks, "helpers.learn", listed, folder)
    learn_here(listed, folder)
    assert [fork.wait() for fork in pair] == [0, 0], pair[0].said
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_does(kind, learned):
    """Weights, optimizer, chains, generators and log differ by rounding only."""
    name = f"{list(KINDS).index(kind)}"
    alone = safetensors.torch.load_file(learned / f"1-0-{name}.safetensors")
    said = json.loads((learned / f"1-0-{name}.json").read_text())
    for rank in (0, 1):
        part = safetensors.torch.load_file(learned / f"2-{rank}-{name}.safetensors")
        assert part.keys() == alone.keys()
        for key, tensor in alone.items():
            if not key.startswith("rng.torch"):  # dropout's, each process has its own
                torch.testing.assert_close(part[key], tensor, rtol=1e-3, atol=1e-4, msg=key)
        heard = json.loads((learned / f"2-{rank}-{name}.json").read_text())
        assert heard["sampler"] == said["sampler"]
        assert heard["scalars"] == pytest.approx(said["scalars"], rel=1e-3, abs=1e-4)


def test_torchrun_trains_evaluates_once_and_leaves_what_one_process_leaves(
    umaze, flags, forks, tmp_path
):
    run = tmp_path / "both"
    torchrun = "-m torch.distributed.run --standalone --nproc-per-node 2 --no-python".split()
    command = [sys.executable, *torchrun, forks.python, "-m", "lpt.cli.train"]
    done = subprocess.run(
        [*command, *flags(umaze, run, 6), "--training.evaluate-every", "3"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("data:") == 1  # one process speaks for both
    assert "lpt last" in done.stdout and "lpt best" in done.stdout
    assert (run / "results" / "maze2d-umaze" / "lpt" / "seed0.json").is_file()
    assert [path.name for path in list_checkpoints(run)] == ["00000003", "00000006"]


def test_processes_with_different_data_are_told_before_they_learn(
    forks, make_data, flags, tmp_path
):
    """Each finds another file under the same name, as two machines would."""
    folders = [tmp_path / "0", tmp_path / "1"]
    for seed, folder in enumerate(folders):
        make_data(folder / "mine.npz", steps=4000, seed=seed)
    asked = flags(Path("mine.npz"), tmp_path / "run")
    pair = start_two(forks, "lpt.cli.train", *asked, folders=folders)
    assert [fork.wait() for fork in pair] == [2, 2]
    assert all("the run's processes have different data" in fork.said for fork in pair)
    assert not (tmp_path / "run").exists()


def test_chains_are_gathered_and_shared_out_anew(forks, umaze, flags, tmp_path):
    """Two processes are stopped; one goes on with all their chains, each visited as often."""
    run = tmp_path / "run"
    asked = [*flags(umaze, run, 100_000), *SAVING, "--engine", "langevin-paper"]
    pair = start_two(forks, "lpt.cli.train", *asked)
    pair[0].until(lambda: list_checkpoints(run))
    for fork in pair:
        fork.signal(signal.SIGTERM)
    assert [fork.wait() for fork in pair] == [128 + signal.SIGTERM] * 2
    assert ["stopped by SIGTERM; saved" in fork.said for fork in pair] == [True, False]
    updates = int(latest_checkpoint(run).name)
    trainer = resume(run).trainer
    assert trainer.updates == updates
    chains = trainer.inference.engine.chains
    visits = int(chains.visits.sum())
    assert visits % 8 == 0 and visits >= 8 * updates  # a batch of 8 an update, and for log lines
    trainer.update()
    assert int(chains.visits.sum()) == visits + 8


def test_a_lost_process_ends_the_run_with_a_word_and_a_checkpoint(forks, umaze, flags, tmp_path):
    run = tmp_path / "run"
    asked = [*flags(umaze, run, 100_000), *SAVING]
    first, second = start_two(forks, "lpt.cli.train", *asked)
    first.until(lambda: list_checkpoints(run))
    second.signal(signal.SIGKILL)
    assert (first.wait(), second.wait()) == (3, -signal.SIGKILL)
    assert "another of the run's 2 processes has gone" in first.said
    assert "is whole: continue" in first.said
    updates = int(latest_checkpoint(run).name)
    assert resume(run).trainer.updates == updates


class Absent(Ranks):
    """One of two processes, whose other has nothing to add."""

    def _sum(self, tensors, group):
        """Leaves its own part."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_a_row_of_the_batch_changes_nothing(kind, commands, build_trainer):
    """No part of a small batch may be a process's; its gradients are zero, not NaN."""
    trainer = build_trainer(commands[list(KINDS).index(kind)], Absent(1, 2))
    for sampler in filter(None, (trainer.batches.sampler, trainer.batches.evidence)):
        sampler._rows = lambda index: np.zeros(0, dtype=np.int64)
    scalars = trainer.update()
    assert float(scalars["optim/gradient_norm"]) == 0.0 and float(scalars["loss/total"]) == 0.0
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    diagnose(trainer)
