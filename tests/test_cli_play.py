"""lpt-play from a saved run to a game: its screens, commands and judgment, by lines of input."""

import dataclasses
import io
import os
import pty
import re
import select
import signal
import sys
import time

import numpy as np
import pytest
import torch

import lpt_envs.connect_four.play.game
from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import save_checkpoint
from lpt.checkpoint.metadata import ReturnQuantiles
from lpt.cli.play import main
from lpt.cli.play_player import PolicyPlayer
from lpt.config import ModelConfig
from lpt.evaluation.policy import LPTPolicy
from lpt.model import Spaces
from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.play.game import Game, outcome
from lpt_envs.connect_four.solver import analyze

SPACES = Spaces(observation_dim=84, action_dim=7, discrete=True)
PROBABILITIES = (0.05, 0.1, 0.2, 0.5, 0.1, 0.04, 0.01)
"""What the policies here think of the columns, always; at their best they play the fourth."""
PERSON_WINS = "1 1 4 1 1"
POLICY_WINS = "1 2 3"
DRAW = "133040211125266455566"
"""Columns, from 0, of answers that draw."""


@pytest.fixture(scope="module")
def save_run(make_metadata):
    """`save_run(folder, algorithm)`: its policy has the same opinion in every position."""

    def save(folder, algorithm="lpt"):
        torch.manual_seed(0)
        config = ModelConfig(
            width=16, heads=2, context=3, plan_tokens=2, prior_width=0, likelihood="categorical"
        )
        model = find_algorithm(algorithm).build(config, SPACES)
        with torch.no_grad():
            head = model.generator.head
            head.weight.zero_()
            head.bias.copy_(torch.tensor(PROBABILITIES).log())
        metadata = make_metadata(
            task="connect-four",
            algorithm=algorithm,
            spaces=SPACES,
            observation_mean=(0.0,) * 84,
            observation_std=(1.0,) * 84,
            return_mean=0.1,
            return_std=0.9,
            return_quantiles=ReturnQuantiles.from_values((-1.0, -1.0, 1.0, 1.0, 1.0, 1.0)),
            config={
                "model": dataclasses.asdict(config),
                "planning": {"steps": 2, "weight": 3.0},
                "evaluation": {"target": 1.0, "deterministic": True},
            },
        )
        save_checkpoint(folder, 10, model.state_dict(), metadata, {}, {"wall_seconds": 1.0})
        return folder

    return save


@pytest.fixture(scope="module")
def run(save_run, tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "amortized-seed3")


@pytest.fixture
def play(run, monkeypatch, capsys):
    """`play("4 4 u", "--seed", "1")`: the screen of a session that reads these lines."""
    monkeypatch.setenv("COLUMNS", "80")

    def session(lines, *options, folder=run):
        text = lines if isinstance(lines, str) else "\n".join(lines)
        text = text.replace(" ", "\n") if isinstance(lines, str) else text
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["connect-four", str(folder), *options]) == 0
        captured = capsys.readouterr()
        assert not captured.err
        assert max(map(len, captured.out.splitlines())) <= 80
        assert "\033" not in captured.out
        return captured.out

    return session


def test_the_first_screen(play):
    text = play("", "--seed", "7")
    assert "connect-four, lpt, 10 updates, seed 7" in text
    assert "The policy (X) moves first, as in its training; you are O." in text
    plan = re.search(r"Its plan, asked for a return of 1 with w = 3, predicts ([+-]\d\.\d\d)", text)
    assert plan is not None and f"the most probable; the plan predicts {plan[1]}" in text
    assert "The policy's move 1: column 4" in text
    lines = text.splitlines()
    bottom = next(i for i, line in enumerate(lines) if line.startswith("+---"))
    assert lines[bottom - 1].startswith("| .  .  .  X  .  .  . |")
    assert lines[bottom - 7].startswith(" " * 11 + "v ")
    assert lines[bottom + 1].startswith("  1  2  3  4  5  6  7")
    assert text.endswith("Goodbye.\n")


def test_bars_have_the_probabilities_lengths_and_the_choice_is_marked(play):
    text = play("")
    for column, probability in enumerate(PROBABILITIES, 1):
        bar = re.search(rf"(.) {column} ([█▌]*) +{probability:.1%}", text)
        assert bar is not None, column
        length = bar[2].count("█") + bar[2].count("▌") / 2
        assert length == pytest.approx(22 * probability, abs=0.26)
        assert (bar[1] == "►") == (column == 4)


def test_the_same_seed_draws_the_same_game(play):
    games = [
        play("1 2 3 5 6 1 2 3", "--actions", "sample", "--seed", seed) for seed in ("1", "1", "2")
    ]
    assert games[0] == games[1]
    moves = [re.findall(r"policy's move \d+: column \d", game) for game in games]
    assert moves[0] != moves[2]
    assert "drawn; the plan" in games[0]


def test_the_policy_wins(play):
    text = play(POLICY_WINS)
    assert "You: column 3. The policy's move 4: column 4" in text
    assert text.count("[X]") == 4
    assert "The policy (X) wins. The policy's return is +1; its plan predicted" in text
    assert "of its 4 moves kept the game's value, by the solver." in text
    assert text.endswith("Goodbye. The policy won 1, drew 0 and lost 0.\n")


def test_the_person_wins_and_the_policys_mistakes_are_named(play):
    text = play(PERSON_WINS)
    assert "The policy's move 5: column 4. You: column 1" in text
    assert text.count("[O]") == 4 and "You (O) win! The policy's return is -1" in text
    board, slips = Board(), []
    for number, column in enumerate([3, 0, 3, 0, 3, 3, 3, 0, 3, 0]):
        analysis = analyze(board)
        values = np.sign(analysis.score), np.sign(analysis.scores[column])
        if number % 2 == 0 and values[0] != values[1]:
            slips.append(f"  move {number // 2 + 1} in column {column + 1}: a ")
        board = board.play(column)
    assert slips and f"{5 - len(slips)} of its 5 moves kept the game's value" in text
    assert all(slip in text for slip in slips)
    assert "became a loss" in text
    assert "drew 0 and lost 1." in text


def test_after_the_end_only_commands_are_heeded(play):
    text = play(f"{POLICY_WINS} 4 h n 1 q 2")
    assert "The game is over: n for a new one" in text
    assert "nothing left to hint at" in text
    assert text.count("Its plan, asked for") == 2
    assert text.endswith("won 1, drew 0 and lost 0.\n")


def test_undo_takes_back_both_discs_and_a_finished_game(play):
    text = play("1 2 u h")
    screens = re.findall(r"^\|.*?^  1  2", text, re.M | re.S)
    assert len(screens) == 4 and screens[1] == screens[3] != screens[2]
    assert "nothing to take back" in play("u 1 u u")
    text = play(f"{PERSON_WINS} u 2")
    assert text.endswith("Goodbye.\n")  # the game that was lost is not counted
    assert "You: column 2. The policy's move 6: column 1" in text


def test_undo_puts_back_what_the_policy_remembers(run):
    game = Game(PolicyPlayer(LPTPolicy.load(run), 1.0, seed=0), 1.0, True)
    game.answer(1)
    seen = game.turns[-1].state.cache
    game.answer(2)
    assert game.take_back() and game.turns[-1].state.cache is seen
    assert game.board == Board.from_moves("313") and game.last == 3
    game.answer(2)
    assert game.board == Board.from_moves("31323") and len(game.turns) == 3


def test_a_full_column_is_remapped_and_said(play):
    text = play("4 4 4")
    assert "The policy's move 4: column 1" in text
    assert re.search(r"► 4 █{11} +50.0%  full, so 1", text)
    assert "Column 4 is full: the open columns are 1, 2, 3, 5, 6, 7." in play("4 4 4 4")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("8", "Column 8 is out of range: columns are 1 to 7."),
        ("0", "Column 0 is out of range: columns are 1 to 7."),
        ("-1", "Column -1 is out of range"),
        ("9" * 5000, "is out of range"),
        ("four", "'four' is no column and no command: type a column, 1 to 7, or ? for help."),
        ("4 5", "'4 5' is no column and no command"),
        ("²", "'?' is no column and no command"),
        ("\033[31m" + "x" * 500, "'?[31mxxx"),
        ("", "Nothing typed: type a column"),
        ("t", "t takes a return, as in: t 0.5"),
        ("t nan", "t takes a return"),
        ("t lots", "t takes a return"),
    ],
)
def test_wrong_input_is_answered_and_asked_again(play, line, answer):
    text = play([line, "1"])
    assert answer in text
    assert text.count("Your column (1-7, ? for help): ") == 3
    assert "You: column 1. The policy's move 2" in text


def test_stray_bytes_are_wrong_input(run, monkeypatch, capsys):
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n1\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["connect-four", str(run)]) == 0
    text = capsys.readouterr().out
    assert "'??' is no column" in text and "You: column 1." in text


def test_help_and_leaving(play):
    text = play("? q 1")
    assert "undo: take back your last disc" in text and "hint" in text
    assert "You: column 1" not in text and text.endswith("Goodbye.\n")


def test_a_new_target_is_planned_for_in_the_next_game(play):
    text = play(["t -0.5", "1", "n"], "--target", "0.25", "--weight", "2")
    assert "asked for a return of 0.25 with w = 2" in text
    assert "The next game is planned for a return of -0.5" in text
    assert "asked for a return of -0.5 with w = 2" in text
    text = play(["t 1e300", "n", "1"])
    assert "the numbers overflow" in " ".join(text.split())
    assert "You: column 1. The policy's move 2" in text  # in the old game


def test_hint_and_values_are_the_solvers(play):
    text = " ".join(play("h").split())
    # After the best first move every reply loses, the center last of all.
    assert "By the solver you lose with 4 (in 20)" in text
    assert "win with" not in text and "draw with" not in text
    text = " ".join(play("1 2 h").split())
    scores = analyze(Board.from_moves("30313")).scores
    assert scores[3] == max(scores) and "lose with 4 (in 1" in text.replace("2 (in", "")
    text = play("", "--show-values")
    expected = "loss in 20,loss in 21,draw,win in 21,draw,loss in 21,loss in 20".split(",")
    for column, value in enumerate(expected, 1):
        assert re.search(rf" {column} [█▌]* +\d+.\d%  {value}\n", text), column


def test_without_numba_the_slow_positions_are_left_out(play, monkeypatch):
    monkeypatch.setattr(lpt_envs.connect_four.play.game, "backend", lambda: "python")
    text = play("1 1 4 2 h 1", "--show-values")
    assert "With 9 to 15 discs on the board the solver is slow" in text
    assert "lpt-toolkit[solver]" in text
    assert re.search(r"► 4 █{11} +50.0%  full, so 1", text)


@pytest.mark.parametrize(
    ("moves", "expected"), [("", (1, 21)), ("3", (-1, 20)), ("303030", (1, 1)), ("2", (0, 0))]
)
def test_scores_in_discs_to_the_end(moves, expected):
    board = Board.from_moves(moves)
    assert outcome(board, analyze(board).score) == expected


def test_a_drawn_game(run):
    game = Game(PolicyPlayer(LPTPolicy.load(run), 1.0, seed=0), 1.0, True)
    for column in DRAW:
        assert game.result is None
        game.answer(int(column))
    assert game.result == 0 and game.board.full


def test_baselines_play_without_a_plan(play, tmp_path, save_run):
    text = play("1", folder=save_run(tmp_path / "dt", "dt-final"))
    assert "It is prompted with a return of 1 and makes no prediction." in text
    assert "predicts" not in text
    text = play(POLICY_WINS, folder=save_run(tmp_path / "bc", "bc"))
    assert "plans for no return" in text and "The policy's return is +1.\n" in text


def test_narrow_terminals_get_the_bars_below_the_board(play, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = play("1").splitlines()
    assert max(map(len, lines)) <= 60
    assert "| .  .  .  X  .  .  . |" in lines


def test_an_ascii_terminal(run, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stdin", io.StringIO("1"))
    assert main(["connect-four", str(run)]) == 0
    screen.flush()
    assert b"> 4 ###########             50.0%" in screen.buffer.getvalue()


@pytest.mark.parametrize(
    ("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "xterm-256color")]
)
def test_colors_only_where_they_are_wanted(run, monkeypatch, capsys, variable, value):
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes this a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO("1"))
    assert main(["connect-four", str(run)]) == 0
    text = capsys.readouterr().out
    colored = value == "xterm-256color"
    assert (
        ("\033" in text)
        == ("●" in text)
        == ("(red) moves first" in re.sub(r"\033\[[0-9;]*m", "", text))
        == colored
    )
    assert ("| O  .  .  X" in text) == (not colored)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}/nothing"], "no run at"),
        (["{run}", "--which", "best"], "no best checkpoint"),
        (["{run}", "--weight", "-1"], "planning.weight=-1.0 must be positive"),
        (["{run}", "--weight", "inf"], "must be positive, finite"),
        (["{run}", "--target", "1e300"], "the numbers overflow"),
        (["{run}", "--target", "nan"], "target=nan must be a finite return"),
        (["{run}", "--seed", "-1"], "--seed -1 must be between"),
        (["{maze}"], "a policy of maze2d-umaze cannot play connect-four: it takes 4 observations"),
    ],
)
def test_errors_are_one_line_and_exit_code_two(
    run, tmp_path, capsys, arguments, message, make_metadata, make_policy_model
):
    model = make_policy_model()
    metadata = make_metadata(config={"model": dataclasses.asdict(model.config)})
    maze = tmp_path / "maze"
    save_checkpoint(maze, 10, model.state_dict(), metadata, {}, {})
    assert main(["connect-four", *(a.format(run=run, maze=maze) for a in arguments)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("lpt-play: ") and message in error and "\n" not in error


def test_the_options_are_explained(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for words in ("--target", "--weight", "--actions", "--show-values", "1 to 7", "0 to", "printf"):
        assert words in text


def read(terminal, awaited):
    """What a pseudo-terminal shows until the awaited text has come."""
    text, deadline = "", time.monotonic() + 120
    while awaited not in text and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                text += os.read(terminal, 1).decode("latin-1")
            except OSError:  # how Linux reports that the other side has closed
                break
    assert awaited in text
    return text


def test_in_a_terminal(run, forks):
    terminal, other_end = pty.openpty()
    variables = {"NO_COLOR": None, "COLORTERM": None, "TERM": "xterm-256color", "COLUMNS": "80"}
    where = os.ttyname(other_end)
    process = forks.start(
        "lpt.cli.play", "connect-four", run, environment=variables, terminal=where
    )
    try:
        text = read(terminal, "for help): ")
        os.write(terminal, b"1\n")
        text += read(terminal, "You: column 1.") + read(terminal, "for help): ")
        text += read(terminal, "\033[0m")  # the prompt is whole
        time.sleep(0.5)  # and is waited at: Ctrl-C there, not in the midst of printing
        process.signal(signal.SIGINT)
        text += read(terminal, "Goodbye.")
        assert process.wait() == 0
    finally:
        if process.code is None:
            process.signal(signal.SIGKILL)
        os.close(other_end)
        os.close(terminal)
    assert "\033[" in text and "Traceback" not in text
    plain = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", text.encode("latin-1").decode())
    assert "The policy (red) moves first" in plain and "●" in plain
    assert max(map(len, plain.splitlines())) <= 80
