"""What all commands have in common: versions, and help that is there at once."""

import subprocess
import sys

import pytest

import lpt
from lpt.cli import bench, data, export, info, play, report, sweep, train
from lpt.cli import eval as evaluation
from lpt.config.help import FIRST, documentation
from lpt.config.tree import known_settings

COMMANDS = {
    "lpt-train": train,
    "lpt-eval": evaluation,
    "lpt-data": data,
    "lpt-play": play,
    "lpt-bench": bench,
    "lpt-sweep": sweep,
    "lpt-report": report,
    "lpt-info": info,
    "lpt-export": export,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_version(name, capsys):
    assert not COMMANDS[name].main(["--version"])
    assert capsys.readouterr().out == f"{name} {lpt.__version__}\n"


def test_every_setting_is_documented():
    assert {name for name in known_settings() if name not in documentation()} == set()
    assert set(FIRST) <= set(known_settings()) and len(FIRST) < 26


def test_help_shows_the_flags_that_matter_with_the_tasks_values(capsys):
    assert train.main(["--env", "hopper-medium-v2", "--help"]) == 0
    said = capsys.readouterr().out
    for words in ("--updates 15000", "--planning.weight 4", "--extend RUN --steps N", "--help-all"):
        assert words in said
    assert "--model.return-hidden" not in said and "│" not in said
    assert train.main(["-h"]) == 0


PARTS = {
    "lpt-data": ("list", "show", "info", "make", "record", "convert"),
    "lpt-report": ("all", "table", "data", "curves", "sweeps", "plan-space"),
    "lpt-bench": ("speed", "run"),
}
ASK = """
import importlib, sys
main = importlib.import_module(sys.argv[1]).main
for part in ([], *([name] for name in sys.argv[2:])):
    for words in (["--help"], ["--version"], ["--mistyped", "1"]):
        try:
            code = main([*part, *words])
        except SystemExit as stop:
            code = stop.code
        assert code == (2 if "--mistyped" in words else 0), (part, words, code)
heavy = "torch numpy gymnasium matplotlib scipy minari stable_baselines3 h5py".split()
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_the_refusal_of_a_mistyped_flag_load_nothing_heavy(name):
    command = [sys.executable, "-c", ASK, COMMANDS[name].__name__, *PARTS.get(name, ())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "[]", done.stderr
