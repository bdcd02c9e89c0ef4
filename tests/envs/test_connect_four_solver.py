"""The solver against an independent engine's labels, and the properties that hold of any position.

`data/connect_four_positions.txt` holds positions and the exact score of each column, labeled by
bitbully (which is no part of this project).
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lpt_envs.connect_four import opening, solver
from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.good_play import good_play_columns, good_play_positions
from lpt_envs.connect_four.solver import Analysis, analyze, backend, best_move

LABELS = Path(__file__).parent / "data" / "connect_four_positions.txt"


def labeled():
    """(moves, scores) of all labeled positions."""
    for line in LABELS.read_text().splitlines():
        if line.startswith("#"):
            continue
        moves, *scores = line.split()
        moves = moves.removeprefix("-")
        yield moves, tuple(None if score == "." else int(score) for score in scores)


POSITIONS = list(labeled())
QUICK = [(moves, scores) for moves, scores in POSITIONS if not 8 < len(moves) < 17]
SLOW = [(moves, scores) for moves, scores in POSITIONS if 8 < len(moves) < 17]


def expected_analysis(scores):
    best = max(score for score in scores if score is not None)
    return Analysis(best, scores, tuple(c for c in range(COLUMNS) if scores[c] == best))


def check_labels(positions):
    for moves, scores in positions:
        board = Board.from_moves(moves)
        assert best_move(board) == expected_analysis(scores).best[0], moves  # before `analyze`
        assert analyze(board) == expected_analysis(scores), moves


def test_the_labels_are_as_many_and_as_varied_as_they_should_be():
    plies = Counter(len(moves) for moves, _ in POSITIONS)
    assert len(POSITIONS) >= 1600 and len(QUICK) >= 1000
    assert set(plies) == set(range(42))
    ties = [scores for _, scores in QUICK if len(expected_analysis(scores).best) > 1]
    assert len(ties) >= 500
    # the leftmost rule differs from the usual one, the nearest the center
    assert sum(min(best, key=lambda c: abs(c - 3)) != best[0] for best in map(best_of, ties)) >= 300
    values = Counter(np.sign(expected_analysis(scores).score) for _, scores in QUICK)
    assert min(values.values()) >= 50


def best_of(scores):
    return expected_analysis(scores).best


def test_labeled_positions():
    check_labels(QUICK)


@pytest.mark.slow
def test_labeled_positions_that_need_a_long_search():
    check_labels(SLOW)


def test_the_seven_first_moves():
    assert analyze(Board()) == Analysis(1, (-2, -1, 0, 1, 0, -1, -2), (3,))
    assert best_move(Board()) == 3


def test_the_leftmost_of_equal_moves():
    # three in a row, open at either end: the first player wins at 2 or 6 at once
    board = Board.from_moves("304151")
    assert analyze(board).best == (2, 6) and best_move(board) == 2
    assert analyze(board).score == (43 - 6) // 2
    # the second player loses to either threat whatever it does: all seven are as bad
    board = Board.from_moves("30415")
    assert analyze(board).best == tuple(range(7)) and best_move(board) == 0
    assert analyze(board).score == -((42 - 5) // 2)


def test_a_position_and_its_mirror_image():
    for moves, scores in QUICK[::5]:
        assert analyze(Board.from_moves(moves).mirror()).scores == scores[::-1]


def test_a_score_is_the_best_of_the_negated_replies():
    for moves, _ in QUICK[::7]:
        board = Board.from_moves(moves)
        if 7 < board.ply < 17:
            continue
        for column, score in enumerate(analyze(board).scores):
            if score is not None and not board.play(column).over:
                assert score == -analyze(board.play(column)).score


@pytest.mark.parametrize("function", [analyze, best_move])
@pytest.mark.parametrize(
    ("moves", "why"),
    [("0102030", "four in a line"), ("146660203633536103043506522512202545444111", "is full")],
)
def test_a_finished_game_has_no_move(function, moves, why):
    with pytest.raises(ValueError, match=f"the game is over: .*{why}"):
        function(Board.from_moves(moves))


def test_replies_to_ply_seven_agree_with_the_table_of_scores():
    replies = opening.opening_replies()
    assert len(replies) == 65_782
    known = opening.reply_positions(lambda p: np.array([replies[k] for k in p.keys.tolist()]), 7)
    counts = {}
    for positions, columns in known:
        rows = zip(positions.own.tolist(), positions.mask.tolist(), columns.tolist(), strict=True)
        boards = [(Board(own, mask), column) for own, mask, column in rows]
        counts[boards[0][0].ply] = len(boards)
        assert all(analyze(board).best[0] == column for board, column in boards)
        assert all(best_move(board) == column for board, column in boards)
    assert counts == {1: 7, 3: 48, 5: 293, 7: 1684}


def test_the_memory_of_best_moves_is_bounded(monkeypatch):
    monkeypatch.setattr(solver, "_REMEMBERED", 4)
    monkeypatch.setattr(solver, "_best_moves", {})
    for column in (*range(7), *range(7)):
        assert best_move(Board().play(column)) == analyze(Board().play(column)).best[0]
        assert len(solver._best_moves) <= 4


def test_a_damaged_table_is_refused():
    values = np.array([1, -2, 3], np.int8)
    data = opening.pack(values)
    assert (opening.unpack(data, 3, "t.bin") == values).all()
    for broken, message in (
        (b"something else", "not a table"),
        (data[:-9], "damaged"),
        (data[:30] + bytes([data[30] ^ 1]) + data[31:], "checksum"),
    ):
        with pytest.raises(ValueError, match=rf"t\.bin is .*{message}.*install"):
            opening.unpack(broken, 3, "t.bin")
    with pytest.raises(ValueError, match="holds 3 values, expected 4"):
        opening.unpack(data, 4, "t.bin")


PLAIN = """
import json, sys
from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.solver import analyze, backend, best_move
early = best_move(Board.from_moves("334")), analyze(Board()).scores
assert "lpt_envs.connect_four.kernel" not in sys.modules and "numba" not in sys.modules
boards = [Board.from_moves(moves) for moves in json.load(sys.stdin)]
print(json.dumps([backend(), [(best_move(board), analyze(board).scores) for board in boards]]))
assert "numba" not in sys.modules
"""


def test_plain_python_plays_identically_and_the_opening_needs_no_search():
    late = [(moves, scores) for moves, scores in POSITIONS if len(moves) >= 24][::12]
    answer = subprocess.run(
        [sys.executable, "-c", PLAIN],
        input=json.dumps([moves for moves, _ in late]),
        env={**os.environ, "LPT_NO_NUMBA": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    name, plain = json.loads(answer.stdout)
    assert name == "python"
    assert plain == [[best_of(scores)[0], list(scores)] for _, scores in late]


def test_numba_is_used_where_it_is_installed():
    pytest.importorskip("numba")
    assert backend() == ("python" if os.environ.get("LPT_NO_NUMBA") else "numba")


def test_an_unwritable_cache_folder_is_no_obstacle():
    pytest.importorskip("numba")
    program = (
        "import numba\n"
        "njit = numba.njit\n"
        "def refuse(function): raise RuntimeError('cannot cache function: no locator')\n"
        "numba.njit = lambda *a, **options: refuse if options.get('cache') else njit(*a)\n"
        "from lpt_envs.connect_four import kernel\n"
        "assert kernel.BACKEND == 'numba' and kernel._slot(1) == kernel._slot.py_func(1)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "LPT_NO_NUMBA"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_the_table_of_good_play_agrees_with_the_search():
    known = good_play_columns()
    walk = good_play_positions(lambda p: np.array([known[k] for k in p.keys.tolist()], np.int8))
    late = [(p, columns) for p, columns in walk if int(p.mask[0]).bit_count() >= 16]
    own, mask, stored = (
        np.concatenate(parts)
        for parts in zip(*((p.own, p.mask, columns) for p, columns in late), strict=True)
    )
    kernel, table = solver._search()
    for i in np.random.default_rng(0).choice(len(own), 150, replace=False):
        ply = int(mask[i]).bit_count()
        assert kernel.leftmost(int(own[i]), int(mask[i]), ply, table) == stored[i]


def test_perfect_play_needs_no_search(monkeypatch):
    """Every position of the protocol's best line and its blunders is in the tables."""
    monkeypatch.setattr(solver, "_search", lambda: pytest.fail("a search was needed"))
    monkeypatch.setattr(solver, "_best_moves", {})
    boards = [Board()]
    while boards:
        board = boards.pop()
        column = best_move(board)
        columns = range(6) if board.ply % 2 and column == 6 else []
        children = [board.play(board.resolve(c)) for c in {column, *columns}]
        boards += [child for child in children if not child.over]


@pytest.mark.parametrize(("own", "mask"), [(2, 3), (0b11, 0b11), (1 << 6, 1 << 6)])
def test_an_impossible_board_has_no_value(own, mask):
    """Discs that hang, or that no order of moves could have placed, are no position."""
    with pytest.raises(ValueError, match="impossible"):
        analyze(Board(own, mask))
