"""Small data sets shared by the tests of the data layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lpt.data import TrajectoryDataset


@pytest.fixture(scope="session")
def steps() -> Callable[..., dict[str, Any]]:
    """`steps(lengths, discrete=False, seed=0)`: D4RL-style arrays of random trajectories."""
    return _random_steps


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., TrajectoryDataset]:
    """`make_dataset(lengths, discrete=False, **options)`: a data set of random trajectories."""

    def make(lengths: list[int], *, discrete: bool = False, **options: Any) -> TrajectoryDataset:
        return TrajectoryDataset.from_steps(**_random_steps(lengths, discrete=discrete), **options)

    return make


@pytest.fixture(scope="session")
def stack() -> Callable[[gym.Space, list[Any]], Any]:
    """`stack(space, samples)`: elements of a space as Minari stores them."""
    return _stack


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty data folders in place of the user's own."""
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path / "lpt"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # data may be kept there too
    (tmp_path / "d4rl").mkdir()
    return tmp_path


def _random_steps(lengths: list[int], *, discrete: bool = False, seed: int = 0) -> dict[str, Any]:
    """D4RL-style arrays of trajectories of these lengths; every third one truly terminates."""
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    last = np.cumsum(lengths) - 1
    terminals, timeouts = np.zeros(steps, bool), np.zeros(steps, bool)
    terminals[last[::3]] = True
    timeouts[np.setdiff1d(last, last[::3])] = True
    actions = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return {
        "observations": (3 * rng.standard_normal((steps, 3)) + 1).astype(np.float32),
        "actions": rng.integers(0, 4, steps) if discrete else actions,
        "rewards": rng.standard_normal(steps).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def _stack(space: gym.Space, samples: list[Any]) -> Any:
    """Elements of a space as Minari stores them: an array, or a dictionary or tuple of such."""
    if isinstance(space, gym.spaces.Dict):
        return {k: _stack(s, [x[k] for x in samples]) for k, s in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(_stack(s, [x[i] for x in samples]) for i, s in enumerate(space.spaces))
    return np.array(samples)
