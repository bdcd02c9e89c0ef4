"""The whole configuration of a run: its groups, presets, and their way through YAML and flags.

Lives here: what a user may set, and nothing that acts on it. Imports nothing else of `lpt`, so
that everything may read it.
"""

from lpt.config.data import DatasetConfig, ReturnConvention, SamplerConfig
from lpt.config.inference import Engine, PlanningConfig, PosteriorConfig
from lpt.config.model import Algorithm, ModelConfig, ProposalConfig
from lpt.config.presets import preset, preset_folder, presets
from lpt.config.settings import Config
from lpt.config.training import Device, EvaluationConfig, Precision, TrainingConfig
from lpt.config.tree import changes, from_tree, merge, read_config, to_tree, upgrade

__all__ = [
    "Algorithm",
    "Config",
    "DatasetConfig",
    "Device",
    "Engine",
    "EvaluationConfig",
    "ModelConfig",
    "PlanningConfig",
    "PosteriorConfig",
    "Precision",
    "ProposalConfig",
    "ReturnConvention",
    "SamplerConfig",
    "TrainingConfig",
    "changes",
    "from_tree",
    "merge",
    "preset",
    "preset_folder",
    "presets",
    "read_config",
    "to_tree",
    "upgrade",
]
