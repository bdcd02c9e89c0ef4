"""Streams of simulated steps, in this process or shared among several; deterministic.

Each stream draws from its own random numbers, so that the data do not depend on how many processes
share the streams. The processes take jobs as lines of JSON and leave arrays in a temporary folder:
unlike those of `multiprocessing` they need no `if __name__ == "__main__"` in the caller's script.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from lpt_envs.mujoco.streams import KEYS, Stream, run_stream

Progress = Callable[[int, int], None]
Report = Callable[[int], None]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_streams(
    streams: Sequence[Stream], workers: int | None = None, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Run all streams and return their steps end to end.

    Args:
        streams: what to run.
        workers: processes; None takes one per processor, but not more than there are streams.
        progress: called with (steps done, all steps) now and then.

    Returns:
        The arrays of `run_stream`, those of all streams in their order.

    Raises:
        ValueError: a number of workers below 1, or no stream.
        ChildProcessError: a worker failed; its last line is in the message.
    """
    workers = min(processors() if workers is None else workers, len(streams))
    if workers < 1:
        raise ValueError(f"expected at least one worker and one stream, not {workers} workers")
    count = _Counter(sum(stream.steps for stream in streams), progress)
    if workers == 1:
        parts = [run_stream(stream, count) for stream in streams]
    else:
        # The pool is left first: on an error or Ctrl-C its processes end, then the threads do.
        with ThreadPoolExecutor(workers) as threads, _pool(workers) as run:
            parts = list(threads.map(lambda stream: run(stream, count), streams))
    return {key: np.concatenate([part[key] for part in parts]) for key in KEYS}


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Counter:
    """Adds up the steps that all streams report, from several threads."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress, self.done = total, progress, 0
        self.lock = threading.Lock()

    def __call__(self, steps: int) -> None:
        with self.lock:
            self.done += steps
            if self.progress is not None:
                self.progress(self.done, self.total)


@contextmanager
def _pool(workers: int) -> Iterator[Callable[[Stream, Report], dict[str, np.ndarray]]]:
    """Start workers; yields a function that has one of them run a stream."""
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    environment = os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": path}
    command = [sys.executable, "-c", "from lpt_envs.mujoco.workers import work; work()"]
    idle: queue.Queue[tuple[subprocess.Popen[str], Path]] = queue.Queue()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpt-")))
        command.append(str(folder))
        for number in range(workers):
            words = folder / f"{number}.txt"
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(open(words, "wb")),
                text=True,
                env=environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            idle.put((process, words))

        def run(stream: Stream, report: Report) -> dict[str, np.ndarray]:
            worker = idle.get()
            try:
                return _order(*worker, stream, folder / f"{stream.index}.safetensors", report)
            finally:
                idle.put(worker)

        yield run


def _order(
    process: subprocess.Popen[str], words: Path, stream: Stream, out: Path, report: Report
) -> dict[str, np.ndarray]:
    """Have a worker run a stream; returns the arrays."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps([asdict(stream), str(out)]) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line == "done\n":
                break
            report(int(line))
        else:
            raise BrokenPipeError
    except BrokenPipeError:
        said = words.read_text(errors="replace").strip()[-2000:] or "without a word"
        last = said.splitlines()[-1]
        failed = ChildProcessError(f"a process that generates data has failed: {last}")
        raise failed from RuntimeError(said)
    arrays = load_file(out)
    out.unlink()
    return arrays


def work() -> None:
    """Run streams for another process until that closes its end; see `_order`."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            fields, out = json.loads(line)
            fields["schedule"] = tuple(tuple(pair) for pair in fields["schedule"])
            arrays = run_stream(Stream(**fields), lambda steps: print(steps, file=channel))
            save_file(arrays, out)
            print("done", file=channel)
    # Who ends in order kills its workers first: the other process is gone, its folder nobody's.
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os._exit(0)  # closing the broken channel would complain
