"""Small runs of the real commands, for tests that start where a user starts."""

from collections.abc import Sequence
from pathlib import Path

from lpt.cli import data, train

PLAIN = """
--engine amortized --dataset.held-steps 0 --dataset.arrival-steps 0 --dataset.min-length 1
--sampler.no-stratified --sampler.draw length --sampler.label-tilt 0 --sampler.counted-steps 0
--model.inputs states-and-actions --model.context 3 --model.frequencies 0 --model.frequency-dims
--model.remembered-plans 0 --posterior.trajectories 0 --posterior.prior-weight 0.2
--planning.method variational --planning.draws 1 --training.learning-rate 1e-3
--training.observation-noise 0.1 --training.observation-noise-raw --training.weight-decay 0.5
--evaluation.target 290
""".split()
"""Flags that take the preset of maze2d-umaze back to the plainest learning; tests add their own."""
SIZES = """
--model.width 8 --model.heads 2 --model.layers 1 --model.prior-width 4 --model.prior-multipliers 1 2
--proposal.width 16 --proposal.layers 1 --proposal.heads 2 --proposal.steps 4
--sampler.batch-trajectories 8 --sampler.segments 2 --sampler.segment-steps 6
--planning.steps 3 --evaluation.episodes 2 --training.evaluate-every 0 --training.log-every 10
""".split()
"""Flags for a model and an evaluation that take next to no time."""


def make_data(path: Path, seed: int = 0, steps: int = 5000) -> Path:
    """Generate maze2d-umaze data; the name's ending decides the format."""
    kind = "npz" if path.suffix == ".npz" else "d4rl"
    options = ["--steps", str(steps), "--seed", str(seed), "--format", kind]
    assert data.main(["make", "maze2d-umaze", *options, "--out", str(path)]) == 0
    return path


def flags(data: Path | str, out: Path | None, updates: int = 60) -> list[str]:
    """The command line of a small run on that data."""
    where = [] if out is None else ["--out", str(out)]
    own = ["--env", "maze2d-umaze", "--source", str(data), "--updates", str(updates)]
    return [*own, *where, *PLAIN, *SIZES]


def lpt_train(arguments: Sequence[str]) -> int:
    """Run lpt-train in this process; the exit code, of refused flags too."""
    try:
        return train.main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
