"""Where a data set came from, and the fingerprint that identifies its arrays."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lpt.data.blocks import blocks
from lpt.machine.origin import check_origin
from lpt.machine.untrusted import parse_object
from lpt.version import __version__

MADE_HERE = ("regenerated", "recorded")
"""Sources of data whose name and environment only their file knows."""


@dataclass(frozen=True)
class Provenance:
    """Where a data set came from; JSON-serializable."""

    source: str = "arrays"
    """`d4rl`, `minari`, `regenerated`, `recorded` (by `lpt-data record`), `npz`, `hdf5`, `games` or
    `arrays` (built in memory)."""
    id: str = "arrays"
    """Name of the data, such as `maze2d-umaze`."""
    env_id: str | None = None
    """Gymnasium id to evaluate in, or None if unknown."""
    fingerprint: str = ""
    """SHA-256 (hex) of the arrays, see `fingerprint`; filled in on building."""
    details: dict[str, Any] = field(default_factory=dict)
    """Path, seed, generator, versions, return convention, horizon and the like."""

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Provenance:
        """Rebuild the record that `to_dict` returned.

        Raises:
            ValueError: it is no such record; names the entry that is wrong.
        """
        check_origin(record, "provenance", "Delete it, or write the file again.")
        return cls(**record)

    @property
    def where(self) -> str:
        """What errors call the data: the file's path if there is one, else the id."""
        return str(self.details.get("path", self.id))


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 (hex) of named arrays: names, types, shapes and little-endian bytes."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        kind = array.dtype.newbyteorder("<")
        digest.update(f"{name}:{kind.str}:{list(array.shape)};".encode())
        for rows in blocks(array):
            digest.update(np.ascontiguousarray(array[rows], kind).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of this package and of the installed packages `names`."""
    versions = {"python": platform.python_version(), "lpt": __version__}
    return versions | {name: metadata.version(name) for name in names}


def file_provenance(
    text: str | None, path: Path, kind: str, origin: Provenance | None = None
) -> Provenance:
    """Return the provenance of data read from a file.

    Args:
        text: JSON of the provenance stored in the file, None if it has none.
        path: the file.
        kind: source named where neither the file nor `origin` says otherwise.
        origin: what the caller knows (such as the task asked for); overrides the file's own words,
            except that data of `MADE_HERE` stay so and keep their name and environment.

    Raises:
        ValueError: the stored text is not a provenance record.
    """
    try:
        stored = Provenance.from_dict(parse_object(text)) if text else None
    except ValueError as error:
        raise ValueError(
            f"{path}: field 'provenance' is not a record of this toolkit ({error}). Delete the "
            "field, or write the file again."
        ) from error
    known = origin or Provenance(kind, stored.id if stored else path.stem)
    details = {**(stored.details if stored else {}), **known.details, "path": str(path)}
    if stored is None:
        return replace(known, details=details)
    if stored.source in MADE_HERE:
        # Scored in another task, or in another version of the environment, they would be wrong.
        env_id = stored.env_id or (known.env_id if stored.id == known.id else None)
        known = replace(known, source=stored.source, id=stored.id, env_id=env_id)
    elif stored.source != known.source:
        details["original_source"] = stored.source
    return replace(known, env_id=known.env_id or stored.env_id, details=details)
