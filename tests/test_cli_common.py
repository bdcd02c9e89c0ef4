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


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom lpt.cli.train import main\nassert main(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'gymnasium', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
