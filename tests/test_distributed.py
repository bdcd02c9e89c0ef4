"""Two processes learn what one does; the tests start them by torchrun, as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist
from small_runs import flags, make_data

from lpt.checkpoint import latest_checkpoint, list_checkpoints
from lpt.cli.train import parse
from lpt.data import load
from lpt.distributed import Ranks, leave
from lpt.run import start
from lpt.training import Trainer

COMMAND = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def umaze(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "umaze.npz", steps=4000)


def two(arguments, **settings):
    """lpt-train in two processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
    command = [*COMMAND, "-m", "lpt.cli.train", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


KINDS = {
    "bc": ["--algorithm", "bc"],
    "dt": ["--algorithm", "dt"],
    "dt-final": ["--algorithm", "dt-final"],
    "amortised": ["--model.remembered-plans", "24"],
    "amortised, corrected": ["--posterior.steps", "2", "--proposal.view", "end"],
    "langevin": ["--inference", "langevin"],
    "preconditioned": ["--inference", "preconditioned"],
    "variational": ["--inference", "variational"],
    "whole, noisy": ["--sampler.segments", "0", "--training.observation-noise", "0.1"],
    "history": "--training.history-dropout 0.5 --training.history-dropout-updates 9".split(),
    "two trajectories": ["--inference", "langevin", "--sampler.batch-trajectories", "2"],
}


def build(kind: str, data: Path, ranks: Ranks) -> Trainer:
    config = parse([*flags(data, None, 6), *KINDS[kind]])
    dataset = load(config.env, config.dataset, config.data, log=lambda text: None)
    return Trainer(config, dataset, torch.device("cpu"), ranks)


def learn(rank: int, count: int, data: Path, folder: Path) -> None:
    """Five updates of every kind; what a checkpoint keeps and what the log says are written."""
    torch.set_num_threads(1)
    if count > 1:
        meeting = f"file://{folder / 'meeting'}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    for number, kind in enumerate(KINDS):
        trainer = build(kind, data, Ranks(rank, count))
        scalars = [trainer.update() for _ in range(5)][-1] | trainer.diagnose()
        tensors, values = trainer.state()
        shared = {k: float(v) for k, v in scalars.items() if not k.startswith("chain/")}
        safetensors.torch.save_file(tensors, folder / f"{count}-{rank}-{number}.safetensors")
        text = json.dumps({"scalars": shared, "sampler": values["sampler"]})
        (folder / f"{count}-{rank}-{number}.json").write_text(text)
    if count > 1:
        leave(0)


@pytest.fixture(scope="module")
def learnt(umaze, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("learnt")
    learn(0, 1, umaze, folder)
    torch.multiprocessing.spawn(learn, args=(2, umaze, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_does(kind, learnt):
    """Weights, optimiser, chains, generators and log differ by rounding only."""
    name = f"{list(KINDS).index(kind)}"
    alone = safetensors.torch.load_file(learnt / f"1-0-{name}.safetensors")
    said = json.loads((learnt / f"1-0-{name}.json").read_text())
    for rank in (0, 1):
        part = safetensors.torch.load_file(learnt / f"2-{rank}-{name}.safetensors")
        assert part.keys() == alone.keys()
        for key, tensor in alone.items():
            if not key.startswith("rng.torch"):  # dropout's, each process has its own
                torch.testing.assert_close(part[key], tensor, rtol=1e-3, atol=1e-4, msg=key)
        heard = json.loads((learnt / f"2-{rank}-{name}.json").read_text())
        assert heard["sampler"] == said["sampler"]
        assert heard["scalars"] == pytest.approx(said["scalars"], rel=1e-3, abs=1e-4)


def test_torchrun_trains_evaluates_once_and_leaves_what_one_process_leaves(umaze, tmp_path):
    run = tmp_path / "both"
    done = two([*flags(umaze, run, 6), "--training.evaluate-every", "3"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("data:") == 1  # one process speaks for both
    assert "lpt last" in done.stdout and "lpt best" in done.stdout
    assert (run / "results" / "maze2d-umaze" / "lpt" / "seed0.json").is_file()
    assert [path.name for path in list_checkpoints(run)] == ["00000003", "00000006"]


def test_processes_with_different_data_are_told_before_they_learn(umaze, tmp_path):
    """Each finds another file under the same name, as two machines would."""
    make_data(tmp_path / "0" / "mine.npz", steps=4000)
    make_data(tmp_path / "1" / "mine.npz", steps=4000, seed=1)
    code = (
        "import os, sys; os.chdir(os.environ['RANK']); from lpt.cli.train import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / "each.py").write_text(code)
    command = [*COMMAND, "each.py", *flags(Path("mine.npz"), tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "the run's processes have different data" in done.stderr
    assert not (tmp_path / "run").exists()


def start_two(arguments):
    """lpt-train in two processes, in the background, in a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "-m", "lpt.cli.train", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_checkpoint(run: Path) -> int:
    """The updates of the run's last checkpoint, as soon as there is one."""
    for _ in range(600):
        if list_checkpoints(run):
            return int(latest_checkpoint(run).name)
        time.sleep(0.1)
    raise AssertionError(f"{run} saved nothing within a minute")


SAVING = ["--training.checkpoint-minutes", "0.02", "--evaluation.episodes", "1"]


def test_chains_are_gathered_and_shared_out_anew(umaze, tmp_path):
    """Two processes are stopped; one goes on with all their chains, each visited as often."""
    run = tmp_path / "run"
    begun = start_two([*flags(umaze, run, 100_000), *SAVING, "--inference", "langevin"])
    wait_for_checkpoint(run)
    begun.send_signal(signal.SIGTERM)
    text, _ = begun.communicate(timeout=60)
    assert begun.returncode != 0 and "stopped by SIGTERM; saved" in text
    step = int(latest_checkpoint(run).name)
    trainer = start(replace(parse(["--resume", str(run)]), resume=run)).trainer
    assert trainer.step == step
    visits = int(trainer.posterior.chains.visits.sum())
    assert visits % 8 == 0 and visits >= 8 * step  # a batch of 8 an update, and for each log line
    trainer.update()
    assert int(trainer.posterior.chains.visits.sum()) == visits + 8


def test_a_lost_process_ends_the_run_with_a_word_and_a_checkpoint(umaze, tmp_path):
    run = tmp_path / "run"
    begun = start_two([*flags(umaze, run, 100_000), *SAVING])
    wait_for_checkpoint(run)
    children = workers_of(begun.pid)
    os.kill(children[-1], signal.SIGKILL)
    text, _ = begun.communicate(timeout=60)
    assert begun.returncode != 0
    assert "another of the run's 2 processes has gone" in text and "is whole: continue" in text
    step = int(latest_checkpoint(run).name)
    assert start(replace(parse(["--resume", str(run)]), resume=run)).trainer.step == step


def workers_of(pid: int) -> list[int]:
    """Process ids of the workers, in the order of their ranks."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(map(int, found))


class Absent(Ranks):
    """One of two processes, whose other has nothing to add."""

    def _sum(self, tensors, group):
        """Leaves its own part."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_a_row_of_the_batch_changes_nothing(kind, umaze):
    """No part of a small batch may be a process's; its gradients are zero, not NaN."""
    trainer = build(kind, umaze, Absent(1, 2))
    trainer.sampler._rows = lambda index: np.zeros(0, dtype=np.int64)
    scalars = trainer.update()
    assert float(scalars["optim/gradient_norm"]) == 0.0 and float(scalars["loss/total"]) == 0.0
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    trainer.diagnose()
