"""What a saved policy says of itself: spaces, statistics, origin, configuration, versions."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass, field
from importlib import metadata as packages
from typing import Any

from lpt.checkpoint import upgrade
from lpt.config import Algorithm, Config, from_tree, to_tree
from lpt.model.spaces import Spaces
from lpt.version import __version__

FORMAT = 2
"""Version of the checkpoint layout; raised when old readers could no longer read it."""
_REPORTED = ("torch", "numpy", "gymnasium", "mujoco", "safetensors", "stable-baselines3")


def current_versions() -> dict[str, str]:
    """Return versions of this package, Python and the libraries that may change a number."""
    versions = {"lpt-toolkit": __version__, "python": platform.python_version()}
    for name in _REPORTED:
        try:
            versions[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True, kw_only=True)
class ReturnQuantiles:
    """Quantiles of the data's returns as they are drawn in learning, raw units."""

    minimum: float
    """The least return."""
    q10: float
    """10 % are at most this."""
    median: float
    """Half are at most this."""
    q90: float
    """90 % are at most this."""
    q99: float
    """99 % are at most this: the target where none is configured."""
    maximum: float
    """The largest return."""

    SHARES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
    """The shares of the fields, in their order."""

    @classmethod
    def from_values(cls, values: Any) -> ReturnQuantiles:
        """Return the quantiles of `SHARES`, in this order."""
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(**dict(zip(names, map(float, values), strict=True)))


@dataclass(frozen=True, kw_only=True)
class PolicyMetadata:
    """Everything besides weights that acting, scoring and reporting need; nothing is recomputed."""

    task: str
    """Task name, such as `maze2d-umaze`."""
    algorithm: Algorithm
    """`lpt` or a baseline's name."""
    env_id: str | None
    """Gymnasium id to evaluate in; None where training had no simulator."""
    updates: int
    """Updates made."""
    seed: int
    """Training seed."""
    spaces: Spaces
    """Sizes of the observation and action spaces."""
    observation_mean: tuple[float, ...]
    """`[obs]` subtracted from raw observations."""
    observation_std: tuple[float, ...]
    """`[obs]` then divided by."""
    return_mean: float
    """Mean of the data's returns (labels), raw units."""
    return_std: float
    """Their standard deviation, raw units."""
    return_quantiles: ReturnQuantiles
    """Their quantiles, as they are drawn in learning."""
    config: Config
    """The run's whole configuration."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the data came from (`lpt.data.Provenance.to_dict()`)."""
    versions: dict[str, str] = field(default_factory=current_versions)
    """Library versions at the time of training."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, with the format version."""
        record = dataclasses.asdict(self)
        return {"format": FORMAT, **record, "config": to_tree(self.config)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "policy.json") -> PolicyMetadata:
        """Return what `to_dict`, of this version or of format 1, has written.

        Raises:
            ValueError: for another format version, missing fields or a configuration of another
                version, naming them and `where`.
        """
        version = data.get("format")
        if version == 1:
            data = upgrade.policy_record(data)
        elif version != FORMAT:
            raise ValueError(
                f"{where}: format version {version!r}, this lpt-toolkit {__version__} reads "
                f"1 and {FORMAT}: load it with the lpt-toolkit version that wrote it "
                f"({data.get('versions', {}).get('lpt-toolkit', 'unknown')})"
            )
        nested = {"spaces": Spaces, "return_quantiles": ReturnQuantiles}
        names = [f.name for f in dataclasses.fields(cls)]
        wanted = [f"{group}.{f.name}" for group, kind in nested.items() for f in _fields(kind)]
        present = [*data, *(f"{group}.{name}" for group in nested for name in data.get(group, {}))]
        missing = [name for name in names + wanted if name not in present]
        if missing:
            raise ValueError(
                f"{where}: missing {', '.join(missing)}: the file was edited or not written by "
                "lpt-toolkit; use another checkpoint of the run"
            )
        values = {name: data[name] for name in names}
        values |= {group: kind(**data[group]) for group, kind in nested.items()}
        values["config"] = from_tree(data["config"], f"{where}, config")
        for name in ("observation_mean", "observation_std"):
            values[name] = tuple(values[name])
        return cls(**values)


def _fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)
