"""What a saved policy says of itself: spaces, statistics, origin, configuration, versions."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass, field
from importlib import metadata as packages
from typing import Any

import lpt
from lpt.baselines import Algorithm
from lpt.model import Spaces

FORMAT = 1
"""Version of the checkpoint layout; raised when old readers could no longer read it."""
_REPORTED = ("torch", "numpy", "gymnasium", "mujoco", "safetensors", "stable-baselines3")


def current_versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries whose change may change a number."""
    versions = {"lpt-toolkit": lpt.__version__, "python": platform.python_version()}
    for name in _REPORTED:
        try:
            versions[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True, kw_only=True)
class PolicyMetadata:
    """Everything besides weights that acting, scoring and reporting need; nothing is recomputed."""

    task: str
    """Task name, such as ``maze2d-umaze``."""
    algorithm: Algorithm
    """``lpt`` or a baseline's name."""
    env_id: str | None
    """Gymnasium id to evaluate in; None where training had no simulator."""
    step: int
    """Updates made."""
    seed: int
    """Training seed."""
    spaces: Spaces
    """Sizes of the observation and action spaces."""
    observation_mean: tuple[float, ...]
    """``[obs]`` subtracted from raw observations."""
    observation_std: tuple[float, ...]
    """``[obs]`` then divided by."""
    return_mean: float
    """Mean of the data's returns (labels), raw units."""
    return_std: float
    """Their standard deviation, raw units."""
    return_quantiles: tuple[float, ...]
    """Minimum, 10 %, 50 %, 90 %, 99 % and maximum of the data's returns as they are drawn in
    learning (by ``sampler.draw``), raw units."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the data came from (``lpt.data.Provenance.to_dict()``)."""
    config: dict[str, Any] = field(default_factory=dict)
    """The run's whole configuration as plain types."""
    versions: dict[str, str] = field(default_factory=current_versions)
    """Library versions at the time of training."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the format version."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "policy.json") -> PolicyMetadata:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: for another format version or missing fields, naming them and ``where``.
        """
        version = data.get("format")
        if version != FORMAT:
            raise ValueError(
                f"{where}: format version {version!r}, this lpt-toolkit {lpt.__version__} reads "
                f"{FORMAT}: load it with the lpt-toolkit version that wrote it "
                f"({data.get('versions', {}).get('lpt-toolkit', 'unknown')})"
            )
        names = [f.name for f in dataclasses.fields(cls)]
        sizes = [f"spaces.{f.name}" for f in dataclasses.fields(Spaces)]
        present = [*data, *(f"spaces.{name}" for name in data.get("spaces", {}))]
        missing = [name for name in names + sizes if name not in present]
        if missing:
            raise ValueError(
                f"{where}: missing {', '.join(missing)}: the file was edited or not written by "
                "lpt-toolkit; use another checkpoint of the run"
            )
        values = {name: data[name] for name in names}
        values["spaces"] = Spaces(**data["spaces"])
        for name in ("observation_mean", "observation_std", "return_quantiles"):
            values[name] = tuple(values[name])
        return cls(**values)
