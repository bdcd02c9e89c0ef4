"""Trajectory data: what a data set holds, the tasks it belongs to, and batches drawn from it.

`formats` reads and writes files, `recipes` makes data, `sources` finds, downloads or makes what is
asked for. Nothing here may know models, algorithms or training.
"""

from lpt.config import DatasetConfig, SamplerConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.d4rl import read_d4rl, write_d4rl
from lpt.data.formats.files import read_file
from lpt.data.formats.games import read_games, write_games
from lpt.data.formats.mapped import read_mapped, write_mapped
from lpt.data.formats.minari import read_minari
from lpt.data.formats.minari_writer import write_minari
from lpt.data.formats.npz import read_npz, write_npz
from lpt.data.provenance import Provenance
from lpt.data.sampling import Batch, TrajectorySampler
from lpt.data.scores import NormalizedScore, ScoreReference, find_reference, normalized_score
from lpt.data.sources.convert import convert
from lpt.data.sources.load import load
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
