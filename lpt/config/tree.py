"""Configurations as trees of plain values, for YAML and JSON, and how two of them differ."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from lpt.config.loaders import NoAliases
from lpt.config.settings import Config

RENAMED = {"env": "task", "data": "source", "inference": "engine", "steps": "updates"}
"""Fields of configurations written by version 0.1, by their present names."""

ENGINES_OF_0_1 = {"amortised": "amortized", "langevin": "langevin-paper"}
"""Engines that version 0.1 called otherwise: its Langevin was the paper's."""

LARGEST = 100_000
"""Bytes of the largest configuration that is read; those written here have three thousand."""

_GROUPS = {
    f.name: f.default_factory
    for f in dataclasses.fields(Config)
    if f.default_factory is not dataclasses.MISSING
}
for _kind in (Config, *_GROUPS.values()):  # unknown keys are errors, which pydantic must be told
    setattr(_kind, "__pydantic_config__", ConfigDict(extra="forbid"))  # noqa: B010
_ADAPTER = TypeAdapter(Config)


def to_tree(config: Config) -> dict[str, Any]:
    """Return a configuration as nested dictionaries of JSON and YAML types."""
    tree: dict[str, Any] = _plain(dataclasses.asdict(config))
    return tree


def from_tree(tree: Mapping[str, Any], where: str = "configuration") -> Config:
    """Return the configuration of a tree; fields that it lacks have their defaults.

    Args:
        tree: nested dictionaries, as of `to_tree`.
        where: what the error calls the tree, such as a file's path.

    Raises:
        ValueError: for the first unknown key or wrong value, in one line that names it, its value
            and, where there is one, the nearest that would do.
    """
    if not isinstance(tree, Mapping):
        raise ValueError(f"{where}: expected settings by name, found {_short(tree)}")
    odd = next((key for key in tree if not isinstance(key, str)), "")
    if odd != "":
        raise ValueError(f"{where}: {_short(odd)} is no setting's name")
    try:
        return _ADAPTER.validate_python(dict(tree))
    except ValidationError as error:
        raise ValueError(f"{where}: {_complaint(error.errors()[0])}") from None


def read_config(path: Path | str) -> Config:
    """Return the configuration of a YAML file, such as the `config.yaml` of a run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no configuration; see `from_tree`.
    """
    path = Path(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {what}: give the config.yaml of a run's folder")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: larger than {LARGEST} bytes, the most a configuration may have")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), NoAliases)
    except Exception as error:  # besides its own, the parser raises those of Python's own types
        details = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} is not YAML: {details or type(error).__name__}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected settings by name, such as task: maze2d-umaze")
    return from_tree(upgrade(tree), str(path))


def upgrade(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of version 0.1 (or any other) under the present names."""
    new = {RENAMED.get(key, key): value for key, value in tree.items() if key != "resume"}
    if isinstance(tree.get("inference"), str):
        new["engine"] = ENGINES_OF_0_1.get(tree["inference"], tree["inference"])
    elif tree.get("engine") == "amortised":
        new["engine"] = "amortized"
    if isinstance(new.get("sampler"), dict):
        new["sampler"] = {k: v for k, v in new["sampler"].items() if k != "spread"}
    return new


def merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree on top of another one."""
    merged = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if nested else value
    return merged


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return old and new value of every setting in which two trees differ, by dotted name."""
    return dict(_changes(old, new, ""))


def _changes(old: Any, new: Any, prefix: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, (a, b)


def known_settings() -> list[str]:
    """Return the dotted names of all settings."""
    names = []
    for field in dataclasses.fields(Config):
        group = _GROUPS.get(field.name)
        inner = [f.name for f in dataclasses.fields(group)] if group else []  # type: ignore[arg-type]
        names += [f"{field.name}.{name}" for name in inner] or [field.name]
    return names


def _complaint(error: Any) -> str:
    """One of pydantic's errors in one line."""
    name, value, kind = _name(error["loc"]), error["input"], error["type"]
    if kind == "value_error":  # raised by a group's own check, which names what is wrong
        text = " ".join(str(error["ctx"]["error"]).split())
        return text if len(text) <= 500 else f"{text[:497]}..."
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [*known_settings(), *_GROUPS]
        return f"{name}={_short(value)} is no setting{_nearest(name, known)}"
    if kind in ("missing", "missing_argument"):
        return f"{name} is missing: give it, as in task: maze2d-umaze"
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        choices = [part.strip("'\" ") for part in expected.replace(" or ", ", ").split(",")]
        return f"{name}={_short(value)}: expected {expected}{_nearest(str(value), choices)}"
    reason = error["msg"][:1].lower() + error["msg"][1:]
    return f"{name}={_short(value)}: {reason}"


def _nearest(name: str, known: list[str]) -> str:
    """`: did you mean ...?` where something known is near; a setting's group may be missing."""
    last = name.rpartition(".")[2]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    close = close or [whole for whole in known if whole.rpartition(".")[2] == last][:1]
    close = (
        close
        or [
            whole
            for whole in known
            if difflib.SequenceMatcher(None, whole.rpartition(".")[2], last).ratio() > 0.75
        ][:1]
    )
    return f": did you mean {close[0]}?" if close else "; lpt-train --help lists them"


def _name(parts: tuple[str | int, ...]) -> str:
    """Return the dotted name of a setting, printable and short whatever it is called."""
    text = ".".join(map(str, parts))
    return text if text.isprintable() and len(text) <= 100 else _short(text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
