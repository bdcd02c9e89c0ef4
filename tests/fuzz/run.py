"""The long attack: `python tests/fuzz/run.py --minutes 20` (or `make fuzz`).

Inputs are tried in a process of their own, which is watched: an input that takes longer than 5
seconds, takes the process beyond 1 GB more than it began with, or kills it, is counted and kept
like any other that ends wrongly. The same seed gives the same inputs in the same order. Whatever
is found lies in `--keep`; its file belongs into tests/fuzz/corpus/<target>/ once it is mended.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

HANG_SECONDS, MEMORY_BYTES = 5.0, 1 << 30
START_SECONDS = 120.0
"""For a worker's first imports."""


def peak() -> int:
    """Most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(pipe: Any, first: int, seed: int, end: float) -> None:
    """Try inputs from number `first` on, and say before and after each which it is."""
    from targets import TARGETS, Attack

    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    attack, names = Attack(), list(TARGETS)
    for name in names:
        assert attack.try_input(name, attack.seeds[name]) == "accepted", name
    before, number = peak(), first
    while time.time() < end:
        name = names[number % len(names)]
        data = attack.make(name, Random(f"{seed}/{number}"))
        pipe.send(("begin", number, name, data))
        outcome = attack.try_input(name, data)
        grown = peak() - before
        if grown > MEMORY_BYTES:
            outcome = f"memory: {grown >> 20} MB more"
        pipe.send(("end", number, name, (outcome, grown)))
        if grown > MEMORY_BYTES:
            number += 1
            break
        number += 1
    attack.close()
    pipe.send(("done", number, "", ""))


class Watch:
    """Counts how inputs end, and keeps those that end wrongly."""

    def __init__(self, seed: int, keep: Path) -> None:
        self.seed, self.keep, self.number = seed, keep, 0
        self.slowest, self.grown = 0.0, 0
        self.counts: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.by_target: dict[str, Counter[str]] = {}

    def note(self, name: str, outcome: str, data: bytes) -> None:
        """Count an input of a target; keep it if its outcome is a new wrong one."""
        kind, what = outcome.partition(":")[0], f"{name}: {outcome}"
        self.counts[kind] += 1
        self.by_target.setdefault(name, Counter())[kind] += 1
        if kind in ("accepted", "refused"):
            return
        self.found[what] += 1
        if self.found[what] == 1:
            (self.keep / name).mkdir(parents=True, exist_ok=True)
            (self.keep / name / f"{self.seed}-{self.number}").write_bytes(data)
            print(what, flush=True)

    def follow(self, worker: Any, pipe: Any) -> None:
        """Note what a worker does until it ends, or hangs."""
        name, data, began = "", b"", None
        while True:
            try:
                if not pipe.poll(START_SECONDS if began is None else HANG_SECONDS):
                    outcome = f"hang: over {HANG_SECONDS:g} s"
                    break
                kind, self.number, name, rest = pipe.recv()
            except EOFError:
                worker.join()
                outcome = f"crash: exit code {worker.exitcode}"
                break
            if kind == "begin":
                data, began = rest, time.monotonic()
            elif kind == "end":
                self.slowest = max(self.slowest, time.monotonic() - (began or 0.0))
                self.grown = max(self.grown, rest[1])
                self.note(name, rest[0], data)
            else:
                return
        if began is None:
            raise RuntimeError(f"the attack did not begin ({outcome})")
        self.note(name, outcome, data)
        self.number += 1

    def figures(self) -> dict[str, Any]:
        """Everything that was counted."""
        return {
            "inputs": sum(self.counts.values()),
            "outcomes": dict(self.counts),
            "slowest_seconds": round(self.slowest, 2),
            "most_memory_mb": self.grown >> 20,
            "targets": {name: dict(own) for name, own in sorted(self.by_target.items())},
            "found": dict(self.found),
        }


def run(minutes: float, seed: int, keep: Path) -> dict[str, Any]:
    """Attack for so long; returns the figures."""
    end, watch, spawn = (
        time.time() + 60 * minutes,
        Watch(seed, keep),
        multiprocessing.get_context("spawn"),
    )
    while time.time() < end:
        here, there = spawn.Pipe()
        worker = spawn.Process(target=work, args=(there, watch.number, seed, end))
        worker.start()
        there.close()
        try:
            watch.follow(worker, here)
        finally:
            worker.kill()
            worker.join()
    return {"seed": seed, "minutes": minutes, **watch.figures()}


def main() -> int:
    """Attack, print the figures as JSON, and fail if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()
    figures = run(options.minutes, options.seed, options.keep)
    print(json.dumps(figures, indent=1))
    return 1 if figures["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
