"""Ctrl-C and SIGTERM end every command in one line, with their exit codes, nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lpt.cli import data as lpt_data
from lpt.cli import eval as lpt_eval
from lpt.data import read_file
from lpt.data.formats.mapped_record import Record

pytestmark = pytest.mark.usefixtures("short_episodes")
SAID = "stopped by Ctrl-C; nothing half-written is left\n"
SIGNALS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]


def press(*_, **__):
    """Ctrl-C, at a moment that a test chooses."""
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("script", ["/bin/lpt-data", "-m"])
@pytest.mark.parametrize(("number", "code", "called"), SIGNALS)
def test_while_a_command_starts(script, number, code, called):
    program = (
        f"import os, signal, sys; sys.argv = [{script!r}]; import lpt.cli\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
        f"os.kill(os.getpid(), {number:d})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1 and f"stopped by {called}" in done.stderr


WORK = """
bench
data convert a.npz a.lpt
data info a.npz
data list
data make maze2d-umaze
data record Acrobot-v1 --agent random --out a.npz
data show maze2d-umaze
eval run
export run --hub mine/policy
info
info run
play connect-four run
report all --out out
report curves a.png run
report data a.json maze2d-umaze
report plan-space a.png run
report sweeps a.png a.json
report table
sweep a.yaml
train --env maze2d-umaze
""".strip()
LOADING = """
import importlib, os, signal, sys
lines, sys.argv = sys.argv[1].splitlines(), ["lpt-command"]
class Pressed:
    def find_spec(self, name, path, target=None):
        if name in ("numpy", "torch"):
            signal.raise_signal(signal.SIGINT)
import lpt.cli
sys.meta_path.insert(0, Pressed())
for line in lines:
    name, *words = line.split()
    main = importlib.import_module(f"lpt.cli.{name}").main
    if os.fork() == 0:
        sys.argv = [f"lpt-{name}"]
        main(words)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 130, line
"""


def test_while_a_command_loads_what_works():
    done = subprocess.run([sys.executable, "-c", LOADING, WORK], capture_output=True, text=True)
    names = [line.split()[0] for line in WORK.splitlines()]
    assert done.stderr == "".join(f"lpt-{name}: stopped by Ctrl-C\n" for name in names)
    assert done.returncode == 0


@pytest.mark.parametrize(("first", "second"), [("SIGINT",) * 2, ("SIGTERM", "SIGINT")])
def test_a_second_one_ends_what_does_not_end_in_order(first, second):
    program = (
        "import signal, sys; sys.argv = ['lpt-data']\n"
        "import lpt.cli; from lpt.cli.ending import ending\n"
        "def work():\n"
        f"    try: signal.raise_signal(signal.{first})\n"
        f"    finally: signal.raise_signal(signal.{second}); print('not reached')\n"
        "sys.exit(ending('lpt-data', work))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "lpt-data: stopped by Ctrl-C\n"


def test_a_shell_that_ignores_it_and_a_user_who_imports_a_command_keep_theirs():
    program = (
        "import signal, sys; sys.argv = [sys.argv[1]]\n"
        "both = signal.SIGINT, signal.SIGTERM\n"
        "if sys.argv[0] == 'lpt-data': [signal.signal(n, signal.SIG_IGN) for n in both]\n"
        "mine = [signal.getsignal(n) for n in both]\n"
        "import lpt.cli; assert [signal.getsignal(n) for n in both] == mine"
    )
    for script in ("lpt-data", "notebook.py"):
        subprocess.run([sys.executable, "-c", program, script], check=True)


@pytest.mark.parametrize(("number", "code", "called"), SIGNALS)
def test_while_data_are_made(number, code, called, forks, tmp_path):
    command = ["make", "maze2d-umaze", "--steps", "4000000", "--out", tmp_path / "a.hdf5"]
    process = forks.start("lpt.cli.data", *command)
    process.until(lambda: "%" in process.said)
    process.signal(number)
    assert process.wait() == code
    assert process.said.endswith(SAID.replace("Ctrl-C", called))
    assert "Traceback" not in process.said
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("ending", [".hdf5", ".npz"])
def test_while_data_are_written(ending, tmp_path, make_data, monkeypatch, capsys):
    path = make_data(tmp_path / f"a{ending}", steps=2000)
    kind = "npz" if ending == ".npz" else "d4rl"
    command = ["make", "maze2d-umaze", "--steps", "2000", "--format", kind, "--out", str(path)]
    module = "npz" if ending == ".npz" else "d4rl"
    monkeypatch.setattr(f"lpt.data.formats.{module}.json.dumps", press)
    assert lpt_data.main([*command, "--overwrite", "--seed", "1"]) == 130
    monkeypatch.undo()
    assert capsys.readouterr().err.endswith(SAID)
    assert os.listdir(tmp_path) == [path.name]
    assert read_file(path).provenance.details["seed"] == 0


def test_while_data_are_converted(umaze, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a.lpt"
    assert lpt_data.main(["convert", str(umaze), str(folder)]) == 0
    monkeypatch.setattr(Record, "write", press)
    assert lpt_data.main(["convert", str(umaze), str(folder), "--overwrite"]) == 130
    assert capsys.readouterr().err.endswith(SAID)
    assert os.listdir(tmp_path) == ["a.lpt"] and len(read_file(folder)) == len(read_file(umaze))


def test_while_a_run_is_opened_and_while_it_is_evaluated(
    umaze, tmp_path, flags, lpt_train, monkeypatch, capsys
):
    out = tmp_path / "run"
    monkeypatch.setattr("lpt.training.opening.load", press)
    assert lpt_train(flags(umaze, out, 3)) == 130
    assert capsys.readouterr().err.endswith("stopped by Ctrl-C; nothing was begun\n")
    assert not out.exists()
    monkeypatch.undo()
    monkeypatch.setattr("lpt.training.final.save_result", press)
    assert lpt_train(flags(umaze, out, 3)) == 130
    assert f"saved: lpt-train --resume {out} evaluates it" in capsys.readouterr().err
    monkeypatch.undo()
    whole = shutil.copytree(out, tmp_path / "whole")
    monkeypatch.setattr("lpt.reporting.console.print_evaluations", press)
    assert lpt_eval.main([str(whole), "--out", str(tmp_path / "a.json")]) == 130
    assert capsys.readouterr().err.endswith(SAID)
    assert sorted(os.listdir(tmp_path)) == ["run", "whole"]


MAKE = """
import sys
from lpt_envs.mujoco.streams import Stream
from lpt_envs.mujoco.workers import run_streams

own = dict(env_id="Hopper-v4", actors="", schedule=((0, 1_000_000),), seed=0)
streams = [Stream(index=index, **own) for index in range(2)]
run_streams(streams, 2, lambda done, total: print(done, flush=True))
"""


def test_workers_of_a_killed_command_leave_nothing(tmp_path):
    """They notice that nobody is left to ask, and remove what was made to be given to them."""
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", MAKE]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None and maker.stdout.readline()
        assert len(os.listdir(tmp_path)) == 1
        maker.kill()
    deadline = time.monotonic() + 60
    while os.listdir(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
