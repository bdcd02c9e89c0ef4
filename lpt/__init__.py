"""Latent Plan Transformer: offline-RL planning as posterior inference of a latent plan.

What a user imports stands here and is loaded when it is first asked for:

    import lpt

    run = lpt.train("maze2d-umaze", seed=1)
    policy = lpt.LPTPolicy.load(run.folder)
    print(lpt.evaluate(policy, episodes=20))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lpt.version import __version__

if TYPE_CHECKING:
    from lpt.config import Config, preset
    from lpt.data import TrajectoryDataset
    from lpt.data import load as load_dataset
    from lpt.evaluation import LPTPolicy, evaluate
    from lpt.training import train

_PLACES = {
    "Config": ("lpt.config", "Config"),
    "LPTPolicy": ("lpt.evaluation", "LPTPolicy"),
    "TrajectoryDataset": ("lpt.data", "TrajectoryDataset"),
    "evaluate": ("lpt.evaluation", "evaluate"),
    "load_dataset": ("lpt.data", "load"),
    "preset": ("lpt.config", "preset"),
    "train": ("lpt.training", "train"),
}

__all__ = [
    "Config",
    "LPTPolicy",
    "TrajectoryDataset",
    "__version__",
    "evaluate",
    "load_dataset",
    "preset",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import lpt` itself takes no time."""
    if name not in _PLACES:
        raise AttributeError(f"module 'lpt' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _PLACES[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
