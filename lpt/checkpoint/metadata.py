"""What a saved policy says of itself: spaces, statistics, origin, configuration, versions."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass, field
from importlib import metadata as packages
from typing import Any

from lpt.checkpoint import upgrade
from lpt.config import Algorithm, Config, from_tree, to_tree
from lpt.machine.origin import check_origin
from lpt.machine.schema import Count, Finite, Name, Positive, checked
from lpt.machine.source import source_commit
from lpt.machine.untrusted import short
from lpt.model.spaces import Spaces
from lpt.version import __version__

FORMAT = 2
"""Version of the checkpoint layout; raised when old readers could no longer read it."""
_MEND = "Use another checkpoint of the run: this file was edited, or not written by lpt-toolkit."
_REPORTED = ("torch", "numpy", "gymnasium", "mujoco", "safetensors", "stable-baselines3")


def current_versions() -> dict[str, str]:
    """Return versions of all that may change a number: this package, its commit, libraries."""
    versions = {
        "lpt-toolkit": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
    }
    for name in _REPORTED:
        try:
            versions[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True, kw_only=True)
class ReturnQuantiles:
    """Quantiles of the data's returns as they are drawn in learning, raw units."""

    minimum: Finite
    """The least return."""
    q10: Finite
    """10 % are at most this."""
    median: Finite
    """Half are at most this."""
    q90: Finite
    """90 % are at most this."""
    q99: Finite
    """99 % are at most this: the target where none is configured."""
    maximum: Finite
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

    task: Name
    """Task name, such as `maze2d-umaze`."""
    algorithm: Algorithm
    """`lpt` or a baseline's name."""
    env_id: Name | None
    """Gymnasium id to evaluate in; None where training had no simulator."""
    updates: Count
    """Updates made."""
    seed: int
    """Training seed."""
    spaces: Spaces
    """Sizes of the observation and action spaces."""
    observation_mean: tuple[Finite, ...]
    """`[obs]` subtracted from raw observations."""
    observation_std: tuple[Positive, ...]
    """`[obs]` then divided by."""
    return_mean: Finite
    """Mean of the data's returns (labels), raw units."""
    return_std: Positive
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
        data = _present_format(data, where)
        _check_present(cls, data, where)
        check_origin(data["provenance"], f"{where}, provenance", _MEND)
        config = from_tree(data["config"], f"{where}, config")
        values = {f.name: data[f.name] for f in dataclasses.fields(cls)}
        metadata = checked(cls, {**values, "config": config}, where, _MEND)
        metadata._check_sizes(where)
        return metadata

    def _check_sizes(self, where: str) -> None:
        """Raise ValueError if the parts are not of one observation and one action."""
        size = self.spaces.observation_dim
        for name in ("observation_mean", "observation_std"):
            if len(getattr(self, name)) != size:
                raise ValueError(
                    f"{where}: {name} has {len(getattr(self, name))} numbers, observations have "
                    f"{size}. {_MEND}"
                )
        bounds = self.provenance.get("details", {}).get("action_bounds")
        if bounds and not self.spaces.discrete and len(bounds[0]) != self.spaces.action_dim:
            raise ValueError(
                f"{where}: action_bounds has {len(bounds[0])} numbers, actions have "
                f"{self.spaces.action_dim}. {_MEND}"
            )


def _present_format(data: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a record of any known format as one of the present format.

    Raises:
        ValueError: it is of another format.
    """
    version = data.get("format")
    if version == 1:
        return upgrade.policy_record(data)
    if version != FORMAT:
        versions = data.get("versions")
        writer = versions.get("lpt-toolkit") if isinstance(versions, dict) else None
        raise ValueError(
            f"{where}: format version {short(repr(version), 60)}, this lpt-toolkit {__version__} "
            f"reads 1 and {FORMAT}: load it with the lpt-toolkit version that wrote it "
            f"({short(str(writer or 'unknown'), 60)})"
        )
    return data


def _check_present(kind: type[PolicyMetadata], data: dict[str, Any], where: str) -> None:
    """Raise ValueError for all fields that are missing at once."""
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in data]
    for group, inner in (("spaces", Spaces), ("return_quantiles", ReturnQuantiles)):
        have = data.get(group)
        if isinstance(have, dict):
            fields = dataclasses.fields(inner)
            missing += [f"{group}.{f.name}" for f in fields if f.name not in have]
    if missing:
        raise ValueError(
            f"{where}: missing {', '.join(missing)}: the file was edited or not written by "
            "lpt-toolkit; use another checkpoint of the run"
        )
