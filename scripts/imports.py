"""How the packages of a tree import each other: units, arrows between them, levels and circles.

python scripts/imports.py                     # this tree
python scripts/imports.py PATH/TO/OTHER/TREE  # another one, such as an earlier commit's

A unit is a package directly below `lpt` or `lpt_envs`, or a module that lies there on its own.
Imports for type checkers only count like any other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTS = {"lpt": Path("lpt"), "lpt_envs": Path("envs/lpt_envs")}
Graph = dict[str, set[str]]


def modules(tree: Path) -> dict[str, Path]:
    """Return every module of the packages by its dotted name."""
    found = {}
    for package, folder in ROOTS.items():
        for path in sorted((tree / folder).rglob("*.py")):
            parts = path.relative_to(tree / folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


def imports(tree: Path) -> Graph:
    """Return what each module imports of these packages, by dotted names of modules."""
    known = modules(tree)
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in names]
        yield from (name for name in names if name in known)


def units(graph: Graph) -> Graph:
    """Return the graph of units: `lpt.data.games` belongs to `lpt.data`, `lpt.config` is one."""
    grouped: Graph = {}
    for name, found in graph.items():
        unit = _unit(name)
        grouped.setdefault(unit, set()).update({_unit(other) for other in found} - {unit})
    return grouped


def _unit(module: str) -> str:
    return ".".join(module.split(".")[:2])


def circles(graph: Graph) -> list[list[str]]:
    """Return groups of two or more nodes that reach each other (strongly connected)."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reach[node] if node in reach.get(other, ())) | {node}
        for node in graph
        if node in reach[node]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += graph.get(node, ())
    return seen


def levels(graph: Graph) -> list[list[str]]:
    """Return nodes by the longest way down from them; circles count as one step."""
    depth: dict[str, int] = {}

    def deep(node: str, above: frozenset[str]) -> int:
        if node not in depth:
            below = [deep(n, above | {node}) for n in graph[node] if n not in above | {node}]
            depth[node] = 1 + max(below, default=-1)
        return depth[node]

    for node in graph:
        deep(node, frozenset())
    return [sorted(n for n in graph if depth[n] == d) for d in range(max(depth.values()) + 1)]


def main(tree: Path) -> None:
    """Print the structure of a tree."""
    graph = imports(tree)
    rooms = units(graph)
    print(f"{len(graph)} modules, {sum(map(len, graph.values()))} imports between them")
    print(f"{len(rooms)} units, {sum(map(len, rooms.values()))} arrows between them")
    for depth, names in enumerate(levels(rooms)):
        print(f"  level {depth}: {', '.join(names)}")
    for what, found in (("units", circles(rooms)), ("modules", circles(graph))):
        print(f"circles of {what}: {len(found)}")
        for circle in found:
            print(f"  {' <-> '.join(circle)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
