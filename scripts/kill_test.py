"""Kill fresh processes at random moments, and check that nothing is lost and nothing half-written.

`python scripts/kill_test.py --kills 500` starts real commands one after the other, `lpt-train`,
`lpt-eval`, `lpt-data make` and `lpt-data convert` in turns, and sends each SIGKILL, SIGINT (Ctrl-C)
or SIGTERM at a random moment of the processor's time that it takes, start-up included: the later of
two uniform draws, since files are written late. (The clock's time depends on what else the machine
does; Linux only.) After each it checks

- that what was there before is there still, to the last byte,
- that what the command writes is there as a whole or not at all,
- that after Ctrl-C the exit code is 130, after SIGTERM 143, with one line and no traceback,
- that the next call sweeps temporary files.

Trainings are resumed after each kill until they end, and must end with the weights of one that
nothing interrupted, to the last bit. docs/reliability.md has the figures of such a run.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SIZES = """
--dataset.arrival-steps 0 --model.width 8 --model.heads 2 --model.layers 1 --model.context 3
--model.prior-width 4
--model.prior-multipliers 1 2 --proposal.width 16 --proposal.layers 1 --proposal.heads 2
--proposal.steps 4 --sampler.batch-trajectories 8 --sampler.segments 2 --sampler.segment-steps 6
--posterior.trajectories 8 --posterior.segments 2 --planning.steps 3 --evaluation.episodes 2
--training.evaluate-every 30 --training.log-every 30
--training.evaluate-episodes 1 --training.checkpoint-minutes 0.005
""".split()
UPDATES = 60
TEMPORARY = ".lpt-tmp-"


@dataclass
class Tally:
    """What was seen."""

    kills: Counter[str] = field(default_factory=Counter)
    """Kills by command and signal; `too late` are those that had ended before."""
    problems: list[str] = field(default_factory=list)
    """What was not as it should be."""

    @property
    def total(self) -> int:
        """How many processes a signal has ended."""
        return sum(count for name, count in self.kills.items() if "late" not in name)

    def check(self, fine: bool, problem: str) -> None:
        """Note a problem unless all is fine."""
        if not fine:
            self.problems.append(problem)
            print(f"PROBLEM: {problem}", flush=True)


def run(module: str, arguments: Sequence[object]) -> subprocess.Popen[str]:
    """Start `python -m lpt.cli.MODULE ARGUMENTS` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"lpt.cli.{module}", *map(str, arguments)],
        stdout=subprocess.PIPE,  # what is said fits into a pipe
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def spent(process: subprocess.Popen[str]) -> float:
    """Return the processor's seconds that a process has taken, infinity once it has ended."""
    if process.poll() is not None:
        return math.inf
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(process: subprocess.Popen[str], seconds: float) -> float:
    """Wait until a process has taken so many of the processor's seconds; returns the last seen."""
    last = 0.0
    while (now := spent(process)) < seconds:
        last = now
        time.sleep(min(max((seconds - now) / 2, 0.002), 0.1))  # looking has its price too
    return last


def timed(module: str, arguments: Sequence[object]) -> float:
    """Run a command to its end; returns the processor's seconds that it took."""
    process = run(module, arguments)
    seconds = wait_until(process, math.inf)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{module} failed without being killed:\n{said}")
    return seconds


def digest(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class Killer:
    """Kills commands in a folder of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw, self.tally = folder, random.Random(seed), Tally()
        self.data = folder / "data.hdf5"
        timed("data", ["make", "maze2d-umaze", "--steps", 5000, "--out", self.data])
        self.whole = folder / "whole"
        self.seconds = {"train": timed("train", self._train(self.whole))}
        self.made: dict[str, dict[str, str]] = {}
        for name in ("make", "convert", "evaluate"):
            out = self._out(name)
            out.mkdir(parents=True)
            self.seconds[name] = timed(*self._command(name))
            self.made[name] = digest(out)
        self.run, self.attempt = folder / "run-0", 0

    def kill(self, module: str, arguments: Sequence[object], seconds: float, name: str) -> bool:
        """Start a command, kill it at some moment, and return whether that was before its end."""
        number = self.draw.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
        process = run(module, arguments)
        # Python itself answers signals in its first hundredths of a second.
        taken = wait_until(process, max(self.draw.uniform(0.1, seconds) for _ in range(2)))
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, number)
        said, _ = process.communicate()
        code = process.returncode
        ended = code == 0
        if (
            ended and name != "train"
        ):  # the first time caches were cold; a resumed training is short
            self.seconds[name] = min(self.seconds[name], taken)
        kind = "too late" if ended else number.name
        self.tally.kills[f"{name} {kind}"] += 1
        if not ended and number == signal.SIGKILL:
            self.tally.check(code == -number, f"{name}: ended with {code} by itself: {said[-800:]}")
        if not ended and number != signal.SIGKILL:
            last = said.replace("\r", "\n").strip().splitlines()[-1:]
            # Python at its end has no handler: the signal ends it, which is 128 + it in a shell.
            fine = code in (128 + number, -number)
            self.tally.check(fine, f"{name}: {number.name} ended with {code}: {last}")
            self.tally.check(
                "Traceback" not in said, f"{name}: traceback after {number.name}: {said[-800:]}"
            )
        return not ended

    def training(self) -> None:
        """Kill a training that is begun, or resumed where the last kill left it."""
        resuming = any((self.run / "checkpoints").glob("0*"))
        command = ["--resume", self.run] if resuming else self._train(self.run)
        if not resuming and self.run.exists():  # killed before its first checkpoint
            for path in sorted(self.run.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        before = self._policies()
        killed = self.kill("train", command, self.seconds["train"], "train")
        after = self._policies()
        lost = [name for name in before if name not in after and not self._newer(name, after)]
        self.tally.check(not lost, f"train: lost {lost}")
        if not killed:
            same = digest(self._last(self.run)).get("policy.safetensors")
            own = digest(self._last(self.whole)).get("policy.safetensors")
            self.tally.check(same == own, f"train: {self.run} ended with other weights")
            left = [str(path) for path in self.run.rglob(f"{TEMPORARY}*")]
            self.tally.check(not left, f"train: temporary files are left: {left}")
            self.attempt += 1
            self.run = self.folder / f"run-{self.attempt}"

    def writing(self, name: str) -> None:
        """Kill a command that replaces what an earlier one has written."""
        out, made = self._out(name), self.made[name]
        before = digest(out)
        self.kill(*self._command(name), self.seconds[name], name)
        after = digest(out)
        kept = {file: value for file, value in after.items() if TEMPORARY not in file}
        if name == "evaluate":  # its result tells seconds: another one is as whole as this one
            self.tally.check(kept.keys() == made.keys(), f"{name}: left {sorted(kept)}")
            timed_alike = all((out / file).read_text().endswith("}\n") for file in kept)
            self.tally.check(timed_alike, f"{name}: half a file")
        else:
            self.tally.check(kept == made, f"{name}: {sorted(before)} became {sorted(after)}")

    def sweeping(self, name: str) -> None:
        """Check that a call that is not killed leaves no temporary file of those before."""
        timed(*self._command(name))
        left = [file for file in digest(self._out(name)) if TEMPORARY in file]
        self.tally.check(not left, f"{name}: temporary files are left: {left}")

    def _train(self, out: Path) -> list[object]:
        own = ["--env", "maze2d-umaze", "--source", self.data, "--updates", UPDATES]
        return [*own, "--out", out, *SIZES]

    def _command(self, name: str) -> tuple[str, list[object]]:
        """Return module and arguments of a command that overwrites what it made before."""
        out = self._out(name)
        if name == "make":
            steps = ["make", "maze2d-umaze", "--steps", 20000, "--seed", 1]
            return "data", [*steps, "--out", out / "made.hdf5", "--overwrite"]
        if name == "convert":
            return "data", ["convert", self.data, out / "converted.lpt", "--overwrite"]
        return "eval", [self.whole, "--out", out / "result.json", "--overwrite"]

    def _out(self, name: str) -> Path:
        return self.folder / f"out-{name}"

    def _policies(self) -> list[str]:
        """Names of the whole checkpoints of the training."""
        found = (self.run / "checkpoints").glob("[0-9]*/training.json")
        return sorted(path.parent.name for path in found)

    @staticmethod
    def _newer(name: str, names: list[str]) -> bool:
        return any(other > name for other in names)

    @staticmethod
    def _last(run: Path) -> Path:
        return max((run / "checkpoints").glob("[0-9]*"))


def main() -> int:
    """Kill as often as is asked; returns 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    options = parser.parse_args()
    # A shell has its background jobs ignore Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lpt-kill-test-") as folder:
        killer = Killer(Path(folder), options.seed)
        shown = ", ".join(f"{name} {seconds:.1f}" for name, seconds in killer.seconds.items())
        print(f"processor's seconds without a kill: {shown}", flush=True)
        turns: list[Callable[[], None]] = [
            killer.training,
            lambda: killer.writing("make"),
            killer.training,
            lambda: killer.writing("convert"),
            killer.training,
            lambda: killer.writing("evaluate"),
        ]
        turn = 0
        while (
            killer.tally.total < options.kills and time.monotonic() - began < 60 * options.minutes
        ):
            turns[turn % len(turns)]()
            turn += 1
            if turn % 10 == 0:
                print(f"{killer.tally.total} kills in {turn} turns", flush=True)
        for name in killer.made:
            killer.sweeping(name)
    for name, count in sorted(killer.tally.kills.items()):
        print(f"{name:20} {count}")
    print(
        f"{killer.tally.total} kills, {killer.attempt} trainings resumed to their end, "
        f"{len(killer.tally.problems)} problems, {time.monotonic() - began:.0f} seconds"
    )
    return 1 if killer.tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
