"""scripts/connect_four.py: what it measures of games is right, and its figures are drawn."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from lpt.cli import data
from lpt_envs.connect_four.board import Board

SCRIPT = Path(__file__).parents[1] / "scripts" / "connect_four.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("connect_four", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory, lpt_train, sizes):
    """A few updates of LPT and of the baseline on a few games."""
    folder = tmp_path_factory.mktemp("runs")
    games = folder / "few.games"
    data.main(["make", "connect-four", "--steps", "400", "--out", str(games)])
    more = [*sizes, "--sampler.segments", "0", "--evaluation.sweep", "-1", "1"]
    for algorithm in ("lpt", "dt-final"):
        flags = ["--env", "connect-four", "--algorithm", algorithm, "--source", str(games)]
        assert lpt_train([*flags, "--updates", "3", "--out", str(folder / algorithm), *more]) == 0
    return folder


def test_moves_are_judged_by_the_exact_values(script):
    """After 3 6: the first player keeps the win with some columns only; a full game's last move."""
    game = np.stack([Board.from_moves(moves).observation() for moves in ("", "36", "3613")])
    assert script._columns(game).tolist() == [3, 1]
    columns = np.arange(7)
    kept = script._keeps_value(np.tile(game[0], (7, 1)), columns)
    assert kept.tolist() == [False, False, False, True, False, False, False]


def test_measure_keeps_every_game_and_the_figures_are_drawn(script, runs, tmp_path, capsys):
    for algorithm, name in (("lpt", "lpt-ei"), ("dt-final", "dt-final")):
        out = tmp_path / name / "play-seed0.json"
        arguments = ["measure", str(runs / algorithm), "--out", str(out), "--episodes", "3"]
        assert script.main(arguments) == 0
        record = json.loads(out.read_text())
        assert record["algorithm"] == name and len(record["points"]) == 4
        for point in record["points"]:
            assert len(point["returns"]) == sum(point["first_moves"]) == 3
            values = [{"L": -1, "D": 0, "W": 1}[letter] for letter in point["returns"]]
            assert point["mean"] == pytest.approx(np.mean(values))
            assert (point["value_preserving"] is None) == (point["target"] != 1)
            assert point["target"] != 1 or 0 <= point["value_preserving"] <= 1
        assert script.main(arguments) == 2 and "is there already" in capsys.readouterr().err
    assert script.main(["trap", str(tmp_path / "trap.png"), "--results", str(tmp_path)]) == 0
    both = [str(runs / "lpt"), str(runs / "dt-final")]
    drawn = tmp_path / "board.png"
    assert script.main(["board", str(drawn), *both, "--moves", "36", "--plans", "3"]) == 0
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert script.main(["board", str(drawn), *both, "--moves", "3"]) == 2
    assert "the agent moves first" in capsys.readouterr().err


def test_luck_reads_the_plans_of_the_data(script, runs, tmp_path, capsys):
    out = tmp_path / "luck.json"
    assert script.main(["luck", str(runs / "lpt"), "--out", str(out), "--games", "20"]) == 0
    (record,) = json.loads(out.read_text())["runs"]
    assert sum(group["games"] for group in record["groups"].values()) == 20
    assert script.main(["luck", str(runs / "dt-final"), "--out", str(out), "--overwrite"]) == 2
    assert "amortized" in capsys.readouterr().err
