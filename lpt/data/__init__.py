"""Trajectory data: sources, validation, return labels, sampling and scores."""

from lpt.data.convert import convert
from lpt.data.d4rl import read_d4rl, write_d4rl
from lpt.data.dataset import DatasetConfig, TrajectoryDataset
from lpt.data.games import read_games, write_games
from lpt.data.mapped import read_mapped, write_mapped
from lpt.data.minari_io import read_minari, write_minari
from lpt.data.npz import read_npz, write_npz
from lpt.data.provenance import Provenance
from lpt.data.sampling import Batch, SamplerConfig, TrajectorySampler
from lpt.data.scores import NormalizedScore, ScoreReference, find_reference, normalized_score
from lpt.data.sources import load, read_file
from lpt.data.tasks import TASKS, Task, find_task
from lpt.data.trajectory import Trajectory

__all__ = [
    "TASKS",
    "Batch",
    "DatasetConfig",
    "NormalizedScore",
    "Provenance",
    "SamplerConfig",
    "ScoreReference",
    "Task",
    "Trajectory",
    "TrajectoryDataset",
    "TrajectorySampler",
    "convert",
    "find_reference",
    "find_task",
    "load",
    "normalized_score",
    "read_d4rl",
    "read_file",
    "read_games",
    "read_mapped",
    "read_minari",
    "read_npz",
    "write_d4rl",
    "write_games",
    "write_mapped",
    "write_minari",
    "write_npz",
]
