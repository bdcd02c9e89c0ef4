"""What every engine and algorithm computes stays what it was: weights and one rollout are pinned.

A change of layout, names or speed must leave these numbers alone. `pins.json` holds, for each kind
of run, numbers that any machine reproduces to rounding, and hashes that one kind of processor and
one version of the libraries reproduce to the last bit. A change that is meant to compute something
else writes them anew and says so in its commit:

    python tests/test_pins.py
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from helpers.runs import PLAIN

from lpt.config.command_line import parse_config
from lpt.evaluation.rollout import evaluate
from lpt.training.opening import start

PINS = Path(__file__).with_name("pins.json")
SIZES = """
--model.width 8 --model.heads 2 --model.layers 2 --model.context 3 --model.prior-width 4
--model.prior-multipliers 1 2 --proposal.width 16 --proposal.layers 1 --proposal.heads 2
--proposal.steps 4 --sampler.batch-trajectories 8 --sampler.segments 2 --sampler.segment-steps 6
--planning.steps 3 --training.evaluate-every 0 --training.log-every 2 --training.warmup 2
""".split()
AGGREGATED = "--model.remembered-plans 32 --planning.method aggregated --planning.draws 2".split()
HISTORY = ["--training.history-dropout-updates", "3"]
KINDS = {
    "amortized": [],
    "amortized, corrected": ["--posterior.steps", "2", "--proposal.view", "whole"],
    "langevin": ["--engine", "langevin", "--posterior.steps", "2"],
    "langevin-paper": ["--engine", "langevin-paper"],
    "preconditioned": ["--engine", "preconditioned", "--posterior.steps", "3"],
    "variational": ["--engine", "variational", "--posterior.steps", "3"],
    "planned by langevin": ["--planning.method", "langevin"],
    "planned by a draw": ["--planning.sample"],
    "aggregated": AGGREGATED,
    "whole, normal prior": "--sampler.segments 0 --model.prior-width 0".split(),
    "history dropped": ["--training.history-dropout", "0.5", *HISTORY],
    "own evidence, arrivals": """
        --engine langevin --dataset.held-steps 6 --dataset.arrival-steps 3
        --sampler.stratified --sampler.draw uniform --sampler.label-tilt 2
        --sampler.counted-steps 20 --sampler.segment-steps 1 --model.inputs states --model.context 1
        --model.frequencies 2 --model.frequency-dims 0 1 --posterior.trajectories 4
        --posterior.segments 6 --posterior.warmup 2 --model.remembered-plans 32
        --planning.method aggregated --planning.draws 2 --training.observation-noise 0
        --training.observation-noise-raw 0.1 0.1 0.2 0.2
    """.split(),
    "bfloat16": ["--training.precision", "bfloat16"],
    "bc": ["--algorithm", "bc"],
    "bc-10": ["--algorithm", "bc-10"],
    "dt-final": ["--algorithm", "dt-final"],
    "dt": ["--algorithm", "dt"],
    "goal": ["--algorithm", "goal"],
}
UPDATES = 5
MAKE = "make maze2d-umaze --steps 20000 --format npz --out".split()


def machine() -> str:
    """What decides the last bit: the processor's instructions and the libraries' versions."""
    return (
        f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, "
        f"mujoco {mujoco.__version__}, numpy {np.__version__}"
    )


def digest(arrays: list[np.ndarray]) -> str:
    """A hash of arrays in any order: what they are called and where they lie may change."""
    parts = sorted(hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def projection(array: np.ndarray) -> float:
    """A sum with random signs, which depend on the array's size only."""
    flat = array.astype(np.float64).ravel()
    return float(np.random.default_rng(len(flat)).choice([-1.0, 1.0], size=len(flat)) @ flat)


def measure(kind: str, data: Path, folder: Path) -> dict[str, Any]:
    """A short run of a kind: what its weights, chains and episodes are."""
    flags = ["--env", "maze2d-umaze", "--source", str(data), "--updates", str(UPDATES)]
    flags += [*PLAIN, *SIZES]
    out = folder / kind.replace(" ", "-")
    run = start(parse_config([*flags, "--out", str(out), *KINDS[kind]]), log=lambda text: None)
    run.train()
    weights = [w.numpy() for w in run.trainer.policy_model.state_dict().values()]
    tensors, _ = run.trainer.state()
    kept = [states.numpy() for name, states in tensors.items() if name.endswith("chains.states")]
    chains = kept[0] if kept else np.zeros(0, np.float32)
    episodes = evaluate(run.policy(), episodes=2, record=True)
    paths = episodes.observations
    return {
        "numbers": {
            "weights": sum(map(projection, [*weights, chains])),
            "square": float(sum((w.astype(np.float64) ** 2).sum() for w in [*weights, chains])),
            "predicted": episodes.predicted_return,
            "early": float(sum(path[20].sum() for path in paths)),
        },
        "exact": {"weights": digest([*weights, chains]), "paths": digest(paths)},
    }


@pytest.fixture(scope="module")
def umaze(tmp_path_factory) -> Path:
    from lpt.cli import data

    path = tmp_path_factory.mktemp("data") / "umaze.npz"
    data.main([*MAKE, str(path)])
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_it_did(kind, umaze, tmp_path):
    pins = json.loads(PINS.read_text(encoding="utf-8"))
    found = measure(kind, umaze, tmp_path)
    assert found["numbers"] == pytest.approx(pins["numbers"][kind], rel=2e-3, abs=2e-3)
    exact = pins["exact"].get(machine())
    if exact is not None:
        assert found["exact"] == exact[kind]


def write() -> None:
    """Measure all kinds and write the pins of this machine."""
    import tempfile

    from lpt.cli import data

    torch.set_num_threads(1)
    pins = json.loads(PINS.read_text(encoding="utf-8")) if PINS.is_file() else {"exact": {}}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "umaze.npz"
        data.main([*MAKE, str(path)])
        found = {kind: measure(kind, path, Path(name)) for kind in KINDS}
    pins["numbers"] = {kind: record["numbers"] for kind, record in found.items()}
    pins["exact"][machine()] = {kind: record["exact"] for kind, record in found.items()}
    PINS.write_text(json.dumps(pins, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())
