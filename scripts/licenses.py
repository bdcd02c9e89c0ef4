"""List the licenses of all that the toolkit needs at run time, and refuse what is not permissive.

`python scripts/licenses.py` walks from the toolkit through the requirements of what is installed
here, extras for users included and tools for developers not. It ends with 1 if a package has a
license that ALLOWED does not have, or none that its metadata tell. REVIEWED has what was looked up
by hand. `make licenses` runs it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = "lpt-toolkit"
NOT_AT_RUN_TIME = {"dev"}
"""Extras for those who work on the toolkit."""
ALLOWED = re.compile(
    r"\b(MIT|MIT-0|MIT-CMU|BSD|[023]-clause|[023]BSD|BSD-[1234]-Clause|Apache|ISC|PSF\S*|Python"
    r"|HPND|Unlicense|zlib|BSL-1\.0|MPL-2\.0|Mozilla Public License 2\.0|CC0\S*|Public Domain)\b",
    re.IGNORECASE,
)
"""Permissive licenses, and the MPL, which is copyleft for its own files only."""
VENDOR = re.compile(r"(nvidia|cuda)-")
"""Names of the libraries, NVIDIA's own, that PyTorch's CUDA builds bring; others do without."""
COPYLEFT = re.compile(r"\b(A?GPL\S*|(Affero )?General Public|SSPL\S*|EUPL\S*)", re.IGNORECASE)
LIBRARY = re.compile(r"LGPL\S*|(GNU )?(Lesser|Library) General Public", re.IGNORECASE)
REVIEWED: dict[str, str] = {}
"""Licenses of packages whose metadata do not tell them, or tell them in words of their own."""

Find = Callable[[str], Distribution]


def license_of(package: Distribution) -> str:
    """Return what a package's metadata say of its license, in one line; empty if nothing."""

    def told(header: str) -> list[str]:
        return package.metadata.get_all(header) or []

    if expression := told("License-Expression"):
        return expression[0]
    named = [c.rsplit(" :: ", 1)[-1] for c in told("Classifier") if c.startswith("License ::")]
    if own := [name for name in named if name != "OSI Approved"]:
        return " AND ".join(own)
    return " ".join(" ".join(told("License")).split())[:80]


def allowed(license: str) -> bool:
    """Return whether all parts of a license, or one of its choices, are allowed."""
    choices = re.split(r"\bOR\b", license)
    parts = [re.split(r"\bAND\b", choice) for choice in choices]
    return any(all(map(_is_permissive, some)) for some in parts)


def _is_permissive(part: str) -> bool:
    return bool(ALLOWED.search(part)) and not COPYLEFT.search(part) and not LIBRARY.search(part)


def runtime_tree(root: str = ROOT, find: Find = distribution) -> list[Distribution]:
    """Return what is installed of all that a package and its extras for users require.

    Args:
        root: the package's name.
        find: gives an installed package by its name, or raises PackageNotFoundError.
    """
    extras = set(find(root).metadata.get_all("Provides-Extra") or []) - NOT_AT_RUN_TIME
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset(extras))]
    while waiting:
        name, asked = waiting.pop()
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        try:
            package = find(name)
        except PackageNotFoundError:
            continue  # of another platform, or an extra that is not installed
        if name != root:
            found[name] = package
        waiting += _required(package, asked)
    return [found[name] for name in sorted(found)]


def _required(package: Distribution, extras: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    needed: list[tuple[str, frozenset[str]]] = []
    for text in package.requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needed.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return needed


def main(find: Find = distribution) -> int:
    """Print the list; returns 1 if something is refused."""
    refused = []
    for package in runtime_tree(find=find):
        name = canonicalize_name(package.metadata["Name"])
        license = REVIEWED.get(name) or license_of(package)
        print(f"{name:32} {package.version:20} {license or 'unknown'}")
        if not allowed(license) and not VENDOR.match(name):
            refused.append(f"{name} ({license or 'unknown'})")
    if refused:
        print(
            f"not allowed: {', '.join(refused)}. Do without, or, where the license was looked up "
            "and is fine, add it to REVIEWED in scripts/licenses.py",
            file=sys.stderr,
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
