"""Small data sets shared by the tests of the data layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_helpers import random_steps

from lpt.data import TrajectoryDataset


@pytest.fixture
def steps() -> Callable[..., dict[str, Any]]:
    return random_steps


@pytest.fixture
def make_dataset() -> Callable[..., TrajectoryDataset]:
    def make(lengths: list[int], *, discrete: bool = False, **options: Any) -> TrajectoryDataset:
        return TrajectoryDataset.from_steps(**random_steps(lengths, discrete=discrete), **options)

    return make


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty data folders in place of the user's own."""
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path / "lpt"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "d4rl").mkdir()
    return tmp_path
