"""The board against a naive one, and every kind of impossible board."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpt_envs.connect_four.bitboard import has_four
from lpt_envs.connect_four.board import COLUMNS, ROWS, Board

LINES = [
    [(row + i * down, column + i * right) for i in range(4)]
    for row, column in itertools.product(range(ROWS), range(COLUMNS))
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
    if row + 3 * down < ROWS and 0 <= column + 3 * right < COLUMNS
]
FULL_DRAW = "146660203633536103043506522512202545444111"
WON_LAST = "424364303312306535006254541526561600212114"  # by the 42nd disc


def naive_won(grid, player):
    rows, columns = np.array(LINES).T
    return bool((grid[rows, columns] == player).all(axis=0).any())


def grid_of(*rows):
    """Rows from the top, as one sees the board; the missing ones above are empty."""
    grid = np.zeros((ROWS, COLUMNS), int)
    for height, row in enumerate(reversed(rows)):
        grid[height] = [".12".index(cell) for cell in row]
    return grid


def random_game(columns):
    """The playable prefix of a list of columns (full ones left out), and its grid."""
    grid, moves = np.zeros((ROWS, COLUMNS), int), []
    for column in columns:
        height = int((grid[:, column] > 0).sum())
        if height == ROWS:
            continue
        player = 1 + len(moves) % 2
        grid[height, column] = player
        moves.append(column)
        if naive_won(grid, player):
            break
    return moves, grid


games = st.lists(st.integers(0, COLUMNS - 1), max_size=60).map(random_game)


@settings(max_examples=100, deadline=None)
@given(games)
def test_a_game_agrees_with_a_naive_board(game):
    moves, grid = game
    board = Board.from_moves(moves)
    assert (board.grid() == grid).all()
    assert board.ply == len(moves)
    assert board.legal == tuple(c for c in range(COLUMNS) if grid[ROWS - 1, c] == 0)
    assert [board.is_legal(c) for c in range(-1, 8)] == [c in board.legal for c in range(-1, 8)]
    assert board.won == (naive_won(grid, 1) or naive_won(grid, 2))
    assert board.full == (len(moves) == 42)
    assert board.over == (board.won or board.full)
    observation = board.observation()
    assert observation.dtype == np.float32 and observation.shape == (84,)
    for height, column in itertools.product(range(ROWS), range(COLUMNS)):
        index = column * 6 + height
        assert observation[[index, 42 + index]].tolist() == [
            grid[height, column] == p for p in (1, 2)
        ]
    assert Board.from_moves("".join(map(str, moves))) == board
    assert Board.from_grid(grid) == board
    assert Board.from_observation(observation) == board
    assert (board.mirror().grid() == grid[:, ::-1]).all()


def test_of_all_sets_of_four_cells_just_the_69_lines_win():
    cells = [column * 7 + row for column in range(COLUMNS) for row in range(ROWS)]
    stones = [sum(1 << cell for cell in four) for four in itertools.combinations(cells, 4)]
    lines = {sum(1 << column * 7 + row for row, column in line) for line in LINES}
    assert len(lines) == 69
    assert {four for four in stones if has_four(four)} == lines


def test_finished_games():
    drawn, won = Board.from_moves(FULL_DRAW), Board.from_moves(WON_LAST)
    assert drawn.full and drawn.over and not drawn.won and drawn.legal == ()
    assert won.full and won.over and won.won
    with pytest.raises(ValueError, match="the board is full"):
        drawn.resolve(3)


def test_resolve_is_the_protocols_remap():
    board = Board.from_moves("0000003333332")
    assert [board.resolve(c) for c in range(COLUMNS)] == [1, 1, 2, 1, 4, 5, 6]
    for column in (-1, 7):
        with pytest.raises(ValueError, match=f"column {column} is out of range"):
            board.resolve(column)


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ("000000" + "0", r"move 7 \(column 0\): column 0 is full; open columns: 1, 2, 3, 4, 5, 6"),
        ("3445566", None),
        ("0101010" + "2", r"move 8 \(column 2\): the game is over"),
        ("337", r"move 3 \(column 7\): column 7 is out of range"),
        ([3, -1], r"move 2 \(column -1\): column -1 is out of range"),
        ("3a", r"move 2 \(column a\): expected a digit"),
        ("3³", r"move 2 \(column ³\): expected a digit"),
        (FULL_DRAW + "0", r"move 43 \(column 0\): column 0 is full; open columns: none"),
    ],
)
def test_bad_moves_are_named(moves, message):
    if message is None:
        assert not Board.from_moves(moves).over
        return
    with pytest.raises(ValueError, match=message):
        Board.from_moves(moves)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (grid_of("1......", ".......", "2......"), "floats"),
        (grid_of("2......"), "0 discs of the first player and 1 of the second"),
        (grid_of("11....."), "2 discs of the first player and 0 of the second"),
        (grid_of("2222...", "1111..."), "both players have four"),
        (grid_of("2......", "1111.22"), None),
        (grid_of("1......", "21.....", "221....", "1111222"), None),  # one disc, two lines
        (grid_of("222....", "1111..2"), "the player to move has four"),
        (grid_of("21212..", "111122."), "discs were played after the game was won"),
        (grid_of("1......", "2......"), "no order of alternate moves"),
        (np.zeros((7, 6), int), "shape"),
        (np.full((6, 7), 3), "0, 1 and 2 only"),
        (np.full((6, 7), np.nan), "0, 1 and 2 only"),
    ],
)
def test_impossible_grids(grid, message):
    if message is None:
        assert (Board.from_grid(grid).grid() == grid).all()
        return
    with pytest.raises(ValueError, match=message):
        Board.from_grid(grid)


def test_the_boards_of_up_to_four_discs_are_exactly_those_that_games_lead_to():
    reached = level = {Board()}
    for _ in range(4):
        level = {board.play(c) for board in level for c in board.legal}
        reached = reached | level
    accepted = set()
    for count in range(5):
        for columns in itertools.combinations_with_replacement(range(COLUMNS), count):
            for colors in itertools.product((1, 2), repeat=count):
                grid = np.zeros((ROWS, COLUMNS), int)
                for column, color in zip(columns, colors, strict=True):
                    grid[(grid[:, column] > 0).sum(), column] = color
                try:
                    accepted.add(Board.from_grid(grid))
                except ValueError:
                    continue
    assert accepted == reached
    assert len(reached) == 1 + 7 + 49 + 238 + 1120


@settings(max_examples=100, deadline=None)
@given(games, st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1), st.integers(0, 2))
def test_a_changed_cell_is_noticed(game, row, column, value):
    _, grid = game
    if grid[row, column] == value:
        return
    grid[row, column] = value
    # one disc too many or too few may be right; any other change makes wrong counts or floats
    try:
        board = Board.from_grid(grid)
    except ValueError as error:
        assert "impossible board" in str(error)
    else:
        assert (board.grid() == grid).all()
        counts = [(grid == player).sum() for player in (1, 2)]
        assert counts[0] - counts[1] in (0, 1)
        assert ((grid > 0).cumprod(axis=0) == (grid > 0)).all()
        assert not (naive_won(grid, 1) and naive_won(grid, 2))


@pytest.mark.parametrize(
    ("own", "mask", "message"),
    [(1, 0, "part of mask"), (-1, -1, "part of mask"), (0, 1 << 6, "42 cells"), (0, 2, "floats")],
)
def test_impossible_bitboards(own, mask, message):
    with pytest.raises(ValueError, match=message):
        Board(own, mask)


def test_bitboards_become_plain_integers():
    board = Board(np.int64(0), np.int64(1))
    assert type(board.own) is int and type(board.mask) is int
    assert board == Board.from_moves([np.int64(0)])
    assert type(board.play(np.int64(6)).mask) is int


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros(42), "shape"),
        (np.full(84, 0.5), "zeros and ones"),
        (np.ones(84), "both players"),
    ],
)
def test_bad_observations(observation, message):
    with pytest.raises(ValueError, match=message):
        Board.from_observation(observation)
