"""Rebuild or verify Connect Four's packaged tables, `envs/lpt_envs/connect_four/data/*.bin`.

    python scripts/connect_four_tables.py verify --sample 400      # minutes
    python scripts/connect_four_tables.py build --out tables --jobs 16

`verify` draws positions of either table and computes them again by search alone; it exits with 1 if
any differs. `build` computes them all: with numba a score takes 0.5 s on average, so the 269,531 of
them take some 40 core hours, and the 65,782 replies 3.

HOW THE PACKAGED TABLES WERE MADE: their numbers, which are facts about the game, were computed by
an independent engine with a complete 12-ply database (bitbully 0.0.79; it is no part of this
project), in the order of positions that `lpt_envs.connect_four.opening` defines, and written by
`pack`. Random samples were then verified with this script. The known scores of the seven first
moves follow from the table by minimax.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lpt.machine.files import atomic_write
from lpt_envs.connect_four import kernel, opening
from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.good_play import good_play_columns, good_play_positions
from lpt_envs.connect_four.opening import Columns, Positions
from lpt_envs.connect_four.solver import analyze

Task = tuple[int, int]


@lru_cache(maxsize=1)
def _table() -> Any:
    return kernel.new_table()


def searched_score(task: Task) -> int:
    """Return the score of a position (own, mask), without the tables."""
    own, mask = task
    return int(kernel.solve(own, mask, mask.bit_count(), _table()))


def searched_reply(task: Task) -> int:
    """Return the leftmost best column of a position (own, mask), without the tables."""
    own, mask = task
    return int(kernel.leftmost(own, mask, mask.bit_count(), _table()))


def early_reply(task: Task) -> int:
    """Return the leftmost best column by the table of scores, for plies too early to search."""
    return analyze(Board(*task)).best[0]


def values_of(
    positions: Positions, function: Callable[[Task], int], jobs: int, label: str
) -> Columns:
    """Return a function's value at each position, int8 `[n]`."""
    tasks = zip(positions.own.tolist(), positions.mask.tolist(), strict=True)
    count = len(positions)
    if jobs == 1:
        return np.fromiter(tqdm(map(function, tasks), label, count), np.int8, count)
    with ProcessPoolExecutor(jobs) as pool:
        values = pool.map(function, tasks, chunksize=64)
        return np.fromiter(tqdm(values, label, count), np.int8, count)


def build(out: Path, jobs: int) -> None:
    """Write the tables to a folder, which must not be the package's own."""
    out.mkdir(parents=True, exist_ok=True)
    *_, last = opening.score_positions()
    _write(out / "scores.bin", values_of(last, searched_score, jobs, "scores"))

    def best(positions: Positions) -> Columns:
        ply = int(positions.mask[0]).bit_count()
        function = early_reply if ply < opening.SCORE_PLY else searched_reply
        return values_of(positions, function, jobs, f"replies at ply {ply}")

    for name, walk in (
        ("replies.bin", opening.reply_positions),
        ("good_play.bin", good_play_positions),
    ):
        _write(out / name, np.concatenate([columns for _, columns in walk(best)]))


def _write(path: Path, values: Columns) -> None:
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_bytes(opening.pack(values))
    print(f"{path}: {len(values)} values, {path.stat().st_size} bytes")


def verify(sample: int, jobs: int, seed: int) -> int:
    """Search random positions of either table again and count the differences."""
    rng = np.random.default_rng(seed)
    *_, last = opening.score_positions()
    chosen = _drawn(last, sample, rng)
    tasks = zip(chosen.own.tolist(), chosen.mask.tolist(), strict=True)
    stored = [opening.opening_score(own, mask) for own, mask in tasks]
    wrong = int((values_of(chosen, searched_score, jobs, "scores") != stored).sum())
    replies = opening.opening_replies()

    def known(positions: Positions) -> Columns:
        return np.array([replies[key] for key in positions.keys.tolist()], np.int8)

    *_, (ninth, _), (eleventh, _) = opening.reply_positions(known)
    for positions, share in ((ninth, sample // 5), (eleventh, sample)):
        chosen = _drawn(positions, share, rng)
        found = values_of(chosen, searched_reply, jobs, "replies")
        wrong += int((found != known(chosen)).sum())
    good = good_play_columns()
    walked = good_play_positions(lambda p: np.array([good[k] for k in p.keys.tolist()], np.int8))
    late = [p for p, _ in walk_from(walked, opening.SCORE_PLY)]
    chosen = _drawn(Positions(*opening.joined([(p.own, p.mask) for p in late])), sample, rng)
    found = values_of(chosen, searched_reply, jobs, "good play")
    wrong += int((found != [good[key] for key in chosen.keys.tolist()]).sum())
    print(f"{wrong} of {3 * sample + sample // 5} values differ")
    return wrong


def walk_from(
    walk: Iterator[tuple[Positions, Columns]], ply: int
) -> Iterator[tuple[Positions, Columns]]:
    """Return the walk's steps of a ply and later."""
    return (step for step in walk if int(step[0].mask[0]).bit_count() >= ply)


def _drawn(positions: Positions, count: int, rng: np.random.Generator) -> Positions:
    index = np.sort(rng.choice(len(positions), min(count, len(positions)), replace=False))
    return Positions(positions.own[index], positions.mask[index])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["build", "verify"])
    parser.add_argument("--out", type=Path, default=Path("tables"), help="folder of `build`")
    parser.add_argument("--sample", type=int, default=400, help="positions of `verify`")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.out, arguments.jobs)
    elif verify(arguments.sample, arguments.jobs, arguments.seed):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
