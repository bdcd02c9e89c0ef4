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
        pipe.send(("end", number, name, outcome))
        if grown > MEMORY_BYTES:
            break
        number += 1
    attack.close()
    pipe.send(("done", number, "", ""))


def run(minutes: float, seed: int, keep: Path) -> dict[str, Any]:
    """Attack for so long; returns the figures."""
    end, number = time.time() + 60 * minutes, 0
    counts: Counter[str] = Counter()
    by_target: dict[str, Counter[str]] = {}
    found: Counter[str] = Counter()
    slowest = 0.0

    def note(name: str, outcome: str, data: bytes) -> None:
        kind = outcome.partition(":")[0]
        counts[kind] += 1
        by_target.setdefault(name, Counter())[kind] += 1
        if kind in ("accepted", "refused"):
            return
        found[f"{name}: {outcome}"] += 1
        if found[f"{name}: {outcome}"] == 1:
            (keep / name).mkdir(parents=True, exist_ok=True)
            (keep / name / f"{seed}-{number}").write_bytes(data)
            print(f"{name}: {outcome}", flush=True)

    while time.time() < end:
        here, there = multiprocessing.get_context("spawn").Pipe()
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(there, number, seed, end)
        )
        worker.start()
        there.close()
        name, data, began = "", b"", None
        while True:
            limit = 120.0 if began is None else HANG_SECONDS
            try:
                if not here.poll(limit):
                    note(name, f"hang: over {HANG_SECONDS:g} s", data)
                    number += 1
                    break
                kind, number, name, rest = here.recv()
            except EOFError:
                worker.join()
                if began is None:
                    raise RuntimeError("the attack did not begin, see above") from None
                note(name, f"crash: exit code {worker.exitcode}", data)
                number += 1
                break
            if kind == "begin":
                data, began = rest, time.monotonic()
            elif kind == "end":
                slowest = max(slowest, time.monotonic() - (began or 0.0))
                note(name, rest, data)
            else:
                break
        worker.kill()
        worker.join()
    return {
        "inputs": sum(counts.values()),
        "outcomes": dict(counts),
        "slowest_seconds": round(slowest, 2),
        "seed": seed,
        "minutes": minutes,
        "targets": {name: dict(own) for name, own in sorted(by_target.items())},
        "found": dict(found),
    }


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
