"""Running a sweep: every run in a process of its own, with a record of how it went.

A run that fails, is killed or takes its process down is recorded as such and the others go on.
Calling again does what is left: a run with its results is skipped, one with a checkpoint resumed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from typing import Any

from lpt.config import to_tree
from lpt.data import load
from lpt.machine.files import write_json
from lpt.sweep.records import error_text, make_record, result_files
from lpt.sweep.trials import Trial

POLL = 0.1
"""Seconds between looks at whether a run has ended."""
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of a run that was asked to stop."""


class Processes:
    """Runs trials in child processes, and asks them all to save and stop when it is told to."""

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self._running: set[subprocess.Popen[str]] = set()

    def run(self, trial: Trial) -> dict[str, Any] | None:
        """Run a trial to its end; returns its record as written, or None if all is stopping."""
        if self.stopped_by is not None:
            return None
        began = time.monotonic()
        write_json(make_record(trial, "running"), trial.record, overwrite=True)
        code = self._wait(trial)
        status = "done" if code == 0 else "failed"
        if code != 0 and (self.stopped_by is not None or code in STOPPED):
            status = "interrupted"
        record = make_record(
            trial,
            status,
            seconds=time.monotonic() - began,
            results=result_files(trial) if status == "done" else [],
            error=error_text(trial, code) if status == "failed" else None,
        )
        write_json(record, trial.record, overwrite=True)
        return record

    def stop(self, number: int, frame: Any = None) -> None:
        """Ask all children to stop, as a handler of signal `number`; no new ones are begun."""
        self.stopped_by = number
        for process in list(self._running):
            process.terminate()

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the children instead of this process, which ends in order."""
        previous = [(s, signal.signal(s, self.stop)) for s in (signal.SIGINT, signal.SIGTERM)]
        try:
            yield
        finally:
            for number, handler in previous:
                signal.signal(number, handler)

    def _wait(self, trial: Trial) -> int:
        threads = str(trial.config.training.threads)
        with open(trial.log, "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lpt.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": threads},
            )
        self._running.add(process)
        assert process.stdin is not None
        try:
            if self.stopped_by is not None:  # told to stop since it was asked above
                process.terminate()
            with suppress(BrokenPipeError):  # it has ended already
                process.stdin.write(json.dumps(to_tree(trial.config)) + "\n")
                process.stdin.flush()
            while process.poll() is None:  # not one long wait, which Ray could not interrupt
                time.sleep(POLL)
        finally:
            if process.poll() is None:  # Ray cancels by an exception: the run is not left alone
                process.terminate()
                process.wait()
            self._running.discard(process)
            with suppress(BrokenPipeError):
                process.stdin.close()
        return process.returncode


def check_data(trials: Sequence[Trial], log: Callable[[str], None] = print) -> None:
    """Load the data of every task once, so that they are at hand when runs begin side by side.

    Raises:
        ValueError: some cannot be loaded; says which and why, all at once.
    """
    problems, seen = [], []
    for config in (trial.config for trial in trials):
        kind: dict[str, Any] = {"discrete": config.model.discrete, "env_id": config.env_id}
        key = (config.task, config.source, config.dataset, kind)
        if key in seen:
            continue
        seen.append(key)
        try:
            load(config.task, config.dataset, config.source, **kind, log=log)
        except (ValueError, OSError) as error:
            problems.append(f"- {config.task}: {error}")
    if problems:
        raise ValueError("nothing was started, some data are not there:\n" + "\n".join(problems))


def run_locally(
    trials: Sequence[Trial], count: int, processes: Processes
) -> Iterator[dict[str, Any]]:
    """Run trials, `count` at a time, and yield their records as they end.

    The threads only wait: the work is done in each run's own process, so that one that is killed
    (for memory, say) takes no other with it, as it would in a pool of processes.
    """
    with ThreadPoolExecutor(count) as threads:
        for task in as_completed([threads.submit(processes.run, trial) for trial in trials]):
            record = task.result()
            if record is not None:
                yield record


def run_on_ray(
    trials: Sequence[Trial], gpus: float, processes: Processes
) -> Iterator[dict[str, Any]]:
    """Run trials as Ray tasks and yields their records as they end.

    Ray connects to the cluster of `RAY_ADDRESS`, else starts one on this machine. The sweep's
    folder and the data must be seen by all machines under the same path.

    Args:
        trials: what to run; each takes as many CPUs as `training.threads`.
        gpus: GPUs that each takes; may be a fraction.
        processes: told to stop, tasks are canceled, which save and end.

    Raises:
        ModuleNotFoundError: ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}: pip install 'lpt-toolkit[ray]'") from error
    began = not ray.is_initialized()
    if began:
        ray.init(log_to_driver=False)
    task, canceled = ray.remote(max_retries=0)(_run_alone), False
    waiting = [
        task.options(num_cpus=trial.config.training.threads, num_gpus=gpus).remote(trial)
        for trial in trials
    ]
    trial_of = dict(zip(waiting, trials, strict=True))
    try:
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=1.0)
            for reference in ended:
                yield _outcome(ray, reference, trial_of[reference])
            if processes.stopped_by is not None and not canceled:
                canceled = True
                for reference in waiting:
                    ray.cancel(reference)
    finally:
        if began:
            ray.shutdown()


def _run_alone(trial: Trial) -> dict[str, Any] | None:
    return Processes().run(trial)


def _outcome(ray: Any, task: Any, trial: Trial) -> dict[str, Any]:
    """Return the record of an ended Ray task; written here where its worker could not."""
    try:
        found: dict[str, Any] = ray.get(task)
        return found
    except ray.exceptions.TaskCancelledError:
        record = make_record(trial, "interrupted")
    except ray.exceptions.RayError as error:
        record = make_record(trial, "failed", error=str(error))
    write_json(record, trial.record, overwrite=True)
    return record
