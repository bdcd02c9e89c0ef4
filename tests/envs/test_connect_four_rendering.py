"""Connect Four's pictures: cells, ring, mark, numbers, text and colors."""

import re

import gymnasium
import numpy as np
import pytest

from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.env import ConnectFourEnv
from lpt_envs.connect_four.rendering import COLORS, to_image, to_text, winning_cells

CELL = 80
WON = Board.from_moves("3142536")  # the bottom row, columns 3 to 6
ESCAPE = re.compile(r"\033\[[0-9;]*m")


def pixel(image, row, column, right=0.0, up=0.0):
    """The color at an offset, in cells, from the center of a cell (row 0 at the bottom)."""
    y, x = (5.5 - row - up) * CELL, (column + 0.5 + right) * CELL
    return tuple(image[int(y), int(x)].tolist())


@pytest.fixture(autouse=True)
def color_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_discs_are_drawn_where_the_board_has_them():
    board = Board.from_moves("3342344243")
    image = to_image(board)
    assert image.shape == (512, 560, 3) and image.dtype == np.uint8
    names = ("empty", "agent", "opponent")
    for (row, column), player in np.ndenumerate(board.grid()):
        assert pixel(image, row, column) == COLORS[names[player]]
        assert pixel(image, row, column, 0.48, 0.48) == COLORS["board"]


def test_the_last_disc_has_a_mark_in_its_center():
    board = Board.from_moves("334")
    image = to_image(board, last=4)
    assert pixel(image, 0, 4) == COLORS["mark"] and pixel(image, 0, 4, 0.2) == COLORS["agent"]
    changed = (image != to_image(board)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() // CELL == rows.max() // CELL == 5
    assert columns.min() // CELL == columns.max() // CELL == 4


def test_a_ring_marks_the_winning_four_and_no_other_disc():
    image = to_image(WON)
    for column in range(7):
        ring = {pixel(image, 0, column, *at) for at in ((0.385, 0), (-0.385, 0), (0, 0.385))}
        assert (ring == {COLORS["ring"]}) is (column >= 3)
    assert pixel(image, 1, 3, 0.385) == COLORS["opponent rim"]


@pytest.mark.parametrize(
    ("moves", "cells"),
    [
        ("3142536", {(0, 3), (0, 4), (0, 5), (0, 6)}),
        ("3030303", {(0, 3), (1, 3), (2, 3), (3, 3)}),
        ("21123403233", {(0, 0), (1, 1), (2, 2), (3, 3)}),
        ("145543363443", {(0, 6), (1, 5), (2, 4), (3, 3)}),
        ("0011224455663", {(0, column) for column in range(7)}),
        ("334", set()),
    ],
)
def test_winning_cells_are_those_of_every_line(moves, cells):
    found = winning_cells(Board.from_moves(moves))
    assert {(int(row), int(column)) for row, column in np.argwhere(found)} == cells


def test_column_numbers_are_written_under_the_board():
    strip = to_image(Board())[6 * CELL :].reshape(32, 7, CELL, 3)
    bright = (strip.astype(int).sum(axis=3) > 500).sum(axis=(0, 2))
    assert (bright > 15).all()
    assert len({strip[:, column].tobytes() for column in range(7)}) == 7
    assert (strip[[0, -1]] == COLORS["edge"]).all()  # nothing is cut off


def test_other_sizes_are_drawn_and_too_small_ones_refused():
    assert to_image(WON, 6, cell=32).shape == (6 * 32 + 16, 7 * 32, 3)
    with pytest.raises(ValueError, match="at least 16 pixels, got 8"):
        to_image(WON, cell=8)


def test_images_belong_to_the_caller():
    image = to_image(WON)
    kept = image.copy()
    image[:] = 0
    assert np.array_equal(to_image(WON), kept)


def test_plain_text_shows_the_whole_state():
    assert to_text(WON, 6, color=False).split("\n") == [
        "                    v",
        "| .  .  .  .  .  .  . |",
        "| .  .  .  .  .  .  . |",
        "| .  .  .  .  .  .  . |",
        "| .  .  .  .  .  .  . |",
        "| .  .  .  O  .  .  . |",
        "| .  O  O [X][X][X][X]|",
        "+---------------------+",
        "  0  1  2  3  4  5  6",
        "agent X wins",
    ]


@pytest.mark.parametrize(
    ("moves", "standing"),
    [
        ("", "agent X to move"),
        ("3", "opponent O to move"),
        ("06162656", "opponent O wins"),
        ("661460464213205326134631200115540554350232", "draw"),
    ],
)
def test_the_last_line_says_how_the_game_stands(moves, standing):
    assert to_text(Board.from_moves(moves), color=False).split("\n")[-1] == standing


def test_colors_change_the_look_and_not_the_layout():
    colored, plain = to_text(WON, 6), to_text(WON, 6, color=False)
    assert "\033[1;31m●" in colored and "\033[1;33m●" in colored
    bare = ESCAPE.sub("", colored)
    assert bare == plain.replace("X", "●").replace("O", "●")
    assert max(map(len, bare.split("\n"))) < 80
    assert colored.count("\033[0m") == len(ESCAPE.findall(colored)) / 2  # all are closed


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminals_without_colors_get_plain_text(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    text = to_text(WON, 6)
    assert text.isascii() and "\033" not in text


def test_an_empty_no_color_variable_leaves_the_colors_on(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "")
    assert "\033" in to_text(WON, 6)


def test_environments_render_their_board_and_last_disc():
    text = ConnectFourEnv(lambda board, rng: 5, render_mode="ansi")
    image = ConnectFourEnv(lambda board, rng: 5, render_mode="rgb_array")
    for env in (text, image):
        env.reset()
        env.step(2)
    board = Board.from_moves("25")
    assert text.render() == to_text(board, 5)
    assert np.array_equal(image.render(), to_image(board, 5))
    image.reset()
    assert np.array_equal(image.render(), to_image(Board()))


def test_render_without_a_mode_warns():
    env = ConnectFourEnv(lambda board, rng: 5)
    env.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_films_are_made_from_the_images():
    env = gymnasium.make("lpt_envs:lpt/ConnectFour-random-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert all(side % 16 == 0 for side in frame.shape[:2]) and env.metadata["render_fps"] == 2
