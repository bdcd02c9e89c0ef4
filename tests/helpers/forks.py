"""Processes that begin with everything imported, which is what takes long in starting one.

`python -m helpers.forks FOLDER` imports the toolkit once. From then on each line it reads is a job:
a module that a new process, forked from it, runs as `python -m` would. The process is a real one:
it can be killed, has its own terminal or log, and meets others as those of torchrun do.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a process that should have ended, or begun, is given up."""


def await_that(condition: Any, what: str) -> Any:
    """What a condition gives, as soon as that is true of it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


class Fork:
    """A process."""

    def __init__(self, stem: Path) -> None:
        self.stem = stem

    @property
    def pid(self) -> int:
        """Its number."""
        path = self.stem.with_suffix(".pid")
        return int(await_that(lambda: path.exists() and path.read_text(), f"the start of {path}"))

    @property
    def said(self) -> str:
        """All that it has printed so far."""
        log = self.stem.with_suffix(".log")
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code (-n: killed by signal n), None while it runs."""
        path = self.stem.with_suffix(".code")
        return int(path.read_text()) if path.exists() else None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        await_that(lambda: self.code is not None, f"an end; so far: {self.said[-2000:]}")
        assert self.code is not None
        return self.code


class Forks:
    """Starts processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "helpers.forks"],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        module: str,
        *arguments: str,
        environment: dict[str, str | None] | None = None,
        cwd: Path | None = None,
        terminal: str | None = None,
        stdin: Path | None = None,
    ) -> Fork:
        """Run a module as `python -m` would.

        Args:
            module: its name.
            *arguments: of its command line.
            environment: variables to add, or to remove (None).
            cwd: working folder.
            terminal: path of the terminal that it is to talk to, in place of a log.
            stdin: what it is to read, such as a named pipe.
        """
        self.count += 1
        stem = self.folder / str(self.count)
        job = {
            "module": module,
            "arguments": list(map(str, arguments)),
            "environment": environment or {},
            "cwd": str(cwd or Path.cwd()),
            "terminal": terminal,
            "stdin": str(stdin or os.devnull),
            "stem": str(stem),
        }
        assert self.process.stdin is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return Fork(stem)

    def start_pair(
        self, module: str, *arguments: str, folders: Sequence[Path | None] = (None, None)
    ) -> list[Fork]:
        """Run a module in two processes that know each other, as those of torchrun do."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            self.start(
                module,
                *arguments,
                cwd=folder,
                environment={
                    **shared,
                    "TORCHELASTIC_RUN_ID": "tests",
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                },
            )
            for rank, folder in enumerate(folders)
        ]

    def close(self) -> None:
        """Start no more."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=PATIENCE)


def _keep(job: dict[str, Any]) -> None:
    """Start a job's process, and write down its number and then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stem = Path(job["stem"])
    pid = os.fork()
    if pid == 0:
        _become(job, stem)
    _write(str(pid), stem.with_suffix(".pid"))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _write(str(code), stem.with_suffix(".code"))
    os._exit(0)


def _write(text: str, path: Path) -> None:
    """Write a file that is whole as soon as it is there."""
    path.with_suffix(path.suffix + ".part").write_text(text)
    path.with_suffix(path.suffix + ".part").rename(path)


def _become(job: dict[str, Any], stem: Path) -> None:
    """Run a job's module in this process."""
    # Background jobs of a shell ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in job["environment"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.chdir(job["cwd"])
    screen = job["terminal"] or str(stem.with_suffix(".log"))
    output = os.open(screen, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    source = os.open(job["terminal"] or job["stdin"], os.O_RDONLY)
    for descriptor, place in ((source, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, place)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        number = ("stdin", "stdout", "stderr").index(name)
        setattr(sys, name, open(number, mode, buffering=1, encoding="utf-8", closefd=False))
    sys.argv = [job["module"], *job["arguments"]]
    code: Any = 1
    try:
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:  # as the interpreter does
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Do jobs, one a line, until there are no more."""
    import torch

    import lpt.cli.play
    import lpt.cli.train
    import lpt.sweep.worker  # noqa: F401

    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # imports what a first optimizer does
    for name in [name for name in sys.modules if name.startswith(("lpt.cli.", "lpt.sweep.worker"))]:
        del sys.modules[name]  # they are run as new, or there would be a warning
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            _keep(json.loads(line))


if __name__ == "__main__":
    serve()
