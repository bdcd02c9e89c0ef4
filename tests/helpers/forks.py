"""Processes that begin with everything imported, which is what takes long in starting one.

`python -m helpers.forks FOLDER` imports the toolkit once. From then on it does jobs: a module that
a new process, forked from it, runs as `python -m` would. The process is a real one, which can be
killed and has a log, a terminal or pipes of its own. `Forks` starts such processes, and
`Forks.python` is a program that does so in the interpreter's place, for those who call one.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a process that should have begun, or ended, is given up."""

PYTHON = """#!{python} -IS
import json, os, signal, sys, time

def wait(path):
    deadline = time.monotonic() + {patience}
    while not os.path.exists(path):
        assert time.monotonic() < deadline, path
        time.sleep(0.01)
    with open(path) as file:
        return int(file.read())

stem = f"{folder}/python-{{os.getpid()}}-{{time.monotonic_ns()}}"
pid = lambda: wait(stem + ".pid")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(pid(), number))
option, module, *arguments = sys.argv[1:]
assert option == "-m", sys.argv
files = [f"/proc/{{os.getpid()}}/fd/{{number}}" for number in (0, 1, 2)]
job = dict(module=module, arguments=arguments, environment=dict(os.environ))
with open(stem + ".job", "w") as file:
    json.dump(dict(job, cwd=os.getcwd(), files=files, stem=stem), file)
with open("{folder}/jobs", "w") as jobs:
    jobs.write(stem + "\\n")
code = wait(stem + ".code")
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Fork:
    """A process."""

    def __init__(self, stem: Path) -> None:
        self.stem = stem

    def _read(self, ending: str) -> str:
        path = self.stem.with_name(self.stem.name + ending)
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def said(self) -> str:
        """All that it has printed so far."""
        return self._read(".log")

    @property
    def code(self) -> int | None:
        """Its exit code (-n: killed by signal n), None while it runs."""
        found = self._read(".code")
        return int(found) if found else None

    def signal(self, number: int) -> None:
        """Send it a signal, once it has begun."""
        deadline = time.monotonic() + PATIENCE
        while not (pid := self._read(".pid")):
            assert time.monotonic() < deadline, "it has not begun"
            time.sleep(0.01)
        os.kill(int(pid), number)

    def until(self, condition: Callable[[], Any]) -> Any:
        """What a condition gives, as soon as that is true and before the process ends."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert self.code is None and time.monotonic() < deadline, self.said
            time.sleep(0.005)
        return found

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (code := self.code) is None:
            assert time.monotonic() < deadline, f"it does not end: {self.said[-2000:]}"
            time.sleep(0.01)
        return code


class Forks:
    """Starts processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.python = folder / "python"
        text = PYTHON.format(python=sys.executable, folder=folder, patience=PATIENCE)
        self.python.write_text(text)
        self.python.chmod(0o700)
        os.mkfifo(folder / "jobs")
        self.jobs = os.open(folder / "jobs", os.O_RDWR)  # so that nobody waits to open it
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        command = [sys.executable, "-m", "helpers.forks", str(folder)]
        self.process = subprocess.Popen(command, env=environment)

    def start(
        self,
        module: str,
        *arguments: Any,
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
        stem, whole = self.folder / str(self.count), {**os.environ, **(environment or {})}
        log = f"{stem}.log"
        job = {
            "module": module,
            "arguments": list(map(str, arguments)),
            "environment": {name: value for name, value in whole.items() if value is not None},
            "cwd": str(cwd or Path.cwd()),
            "files": [terminal] * 3 if terminal else [str(stdin or os.devnull), log, log],
            "stem": str(stem),
        }
        stem.with_suffix(".job").write_text(json.dumps(job))
        os.write(self.jobs, f"{stem}\n".encode())
        return Fork(stem)

    def close(self) -> None:
        """Start no more."""
        os.write(self.jobs, b"\n")
        self.process.wait(timeout=PATIENCE)
        os.close(self.jobs)


def serve(folder: Path) -> None:
    """Do jobs, one a line, until there is an empty one."""
    import torch

    import lpt.cli.play_player
    import lpt.sweep.worker  # noqa: F401
    import lpt_envs.connect_four.play  # noqa: F401

    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # imports what a first optimizer does
    for name in [name for name in sys.modules if name.startswith(("lpt.cli.", "lpt.sweep.worker"))]:
        del sys.modules[name]  # they are run as new, or there would be a warning
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for stem in iter(_lines(folder / "jobs").__next__, ""):
        if os.fork() == 0:
            _keep(json.loads(Path(f"{stem}.job").read_text()))
    os._exit(0)


def _lines(pipe: Path) -> Iterator[str]:
    """Lines of a named pipe, which has no end; an empty one if the parent has gone."""
    source, parent, read = os.open(pipe, os.O_RDWR), os.getppid(), b""
    while os.getppid() == parent:
        if select.select([source], [], [], 1.0)[0]:
            read += os.read(source, 1 << 16)
            *lines, read = read.split(b"\n")
            yield from (line.decode() for line in lines)
    yield ""


def _keep(job: dict[str, Any]) -> None:
    """Start a job's process, and write down its number and then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _become(job)
    _write(pid, f"{job['stem']}.pid")
    _write(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), f"{job['stem']}.code")
    os._exit(0)


def _write(number: int, path: str) -> None:
    """Write a file that is whole as soon as it is there."""
    Path(f"{path}.part").write_text(str(number))
    os.rename(f"{path}.part", path)


def _become(job: dict[str, Any]) -> None:
    """Run a job's module in this process."""
    # Background jobs of a shell ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["cwd"])
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path in enumerate(job["files"]):
        os.dup2(os.open(path, writing if number else os.O_RDONLY, 0o600), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", closefd=False) for number in (1, 2)
    )
    sys.argv = [job["module"], *job["arguments"]]
    if job["module"].startswith("lpt.cli."):
        importlib.import_module("lpt.cli.ending").end_at_once()  # as lpt.cli did before the fork
    code: Any = 1
    try:
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:  # as the interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
