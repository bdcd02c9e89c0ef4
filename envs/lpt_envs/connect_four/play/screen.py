"""What `lpt-play` draws: a board, the bars beside it, and the console they go to."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from lpt_envs.connect_four.board import COLUMNS, ROWS, Board
from lpt_envs.connect_four.play.game import Game, Turn, outcome
from lpt_envs.connect_four.rendering import COLORS, colored, to_text

VERDICTS = {1: "win", 0: "draw", -1: "loss"}
BAR = 22
"""Cells of the bar of a probability of one."""
GAP = "   "
SIDE_BY_SIDE = 76
"""Columns that the board beside its bars may take; narrower terminals get them below it."""


def _rgb(name: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLORS[name])


RGB = {
    "": f"on {_rgb('board')}",
    "X": "bold #ff5a5f",  # lighter than the image's red, which is dim in a thin dot
    "O": f"bold {_rgb('opponent')}",
    ".": _rgb("empty"),
    "[": f"bold {_rgb('ring')}",
    "]": f"bold {_rgb('ring')}",
}
"""Styles of the board, and of the characters that `to_text` draws it with."""
SIXTEEN = {**RGB, "": "on blue", "X": "bold bright_red", "O": "bold bright_yellow", ".": "black"}
"""The same for terminals of 8 or 16 colors."""
DOTS = str.maketrans("XO.|+-", "●●●   ")
"""In colors, discs and holes are dots, and the frame is the blue alone."""
POLICY, PERSON, DIM = "bold bright_red", "bold bright_yellow", "bright_black"
BY_VERDICT = {1: "green", 0: "yellow", -1: "red"}


def make_console() -> Console:
    """Return standard output, 80 columns wide at most, with colors only where they are wanted."""
    console = Console(highlight=False)
    width = min(console.width, 80)
    if console.is_terminal and colored():
        return Console(highlight=False, width=width)
    return Console(highlight=False, width=width, color_system=None, force_terminal=False)


def has_dots(console: Console) -> bool:
    """Return whether discs are told apart by color, as dots, and not as X and O."""
    return console.color_system is not None and has_blocks(console)


def has_blocks(console: Console) -> bool:
    """Return whether the terminal's encoding knows block characters."""
    return console.encoding.startswith("utf")


def show(console: Console, game: Game, note: str, scores: tuple[int | None, ...] | None) -> None:
    """Draw the board, and beside it (or below) the probabilities of the policy's last move.

    Args:
        console: where to.
        game: the game.
        note: a word on the policy.
        scores: `[7]` the solver's scores of the policy's last choice, to show; None: none.
    """
    turn, blocks = game.turns[-1], has_blocks(console)
    styles = RGB if console.color_system in ("256", "truecolor") else SIXTEEN
    board = draw_board(game.board, game.last, styles, has_dots(console))
    bars = draw_bars(turn, heading(game), note, scores, blocks)
    console.print()
    if console.width >= SIDE_BY_SIDE:
        for left, right in zip(board, bars, strict=True):
            space = " " * (2 + 3 * COLUMNS - left.cell_len) + GAP
            console.print(Text.assemble(left, space, right))
    else:
        console.print(Text("\n").join([*board, *bars]))
    console.print()


def heading(game: Game) -> str:
    """Return what was played last, 48 characters at most."""
    number = len(game.turns)
    policy = f"The policy's move {number}: column {game.turns[-1].column + 1}"
    if not game.replies:
        return policy
    you = f"ou: column {game.replies[-1] + 1}"
    return f"{policy}. Y{you}" if len(game.replies) == number else f"Y{you}. {policy}"


def draw_board(board: Board, last: int, styles: dict[str, str], dots: bool) -> list[Text]:
    """Return the board as nine lines of 23 characters, columns numbered from 1.

    Args:
        board: the position.
        last: column of the last disc, which is pointed at.
        styles: of the board and its characters.
        dots: draw discs and holes as dots, told apart by color; else as X, O and a point.
    """
    pointer, *rows = to_text(board, last, color=False, note="").splitlines()[: ROWS + 2]
    lines = [Text(pointer.replace("v", "▼") if dots else pointer, "bold")]
    for row in rows:
        line = Text(row.translate(DOTS) if dots else row, styles[""])
        for place, character in enumerate(row):
            if character in styles:
                line.stylize(styles[character], place, place + 1)
        lines.append(line)
    return [*lines, Text("  " + "  ".join(str(c + 1) for c in range(COLUMNS)), "bold")]


def draw_bars(
    turn: Turn,
    heading: str,
    note: str,
    scores: tuple[int | None, ...] | None,
    unicode: bool,
) -> list[Text]:
    """Return the probabilities of a move as nine lines, one a column, 50 characters at most.

    Args:
        turn: the move.
        heading: first line.
        note: last line.
        scores: `[7]` the solver's scores of the columns, to show what they lead to; None: none.
        unicode: draw with block characters, else in ASCII.
    """
    lines = [Text(f"  {heading}", "bold")]
    for column, probability in enumerate(turn.probabilities.tolist()):
        halves = round(2 * BAR * probability)
        bar = "█" * (halves // 2) + "▌" * (halves % 2) if unicode else "#" * (halves // 2)
        chosen = column == turn.asked
        style, value = POLICY if chosen else "red", ""
        if not turn.before.is_legal(column):
            style, value = DIM, f"full, so {turn.column + 1}" if chosen else "full"
        elif scores is not None:
            score = scores[column]
            assert score is not None
            value = verdict(turn.before, score)
            style = BY_VERDICT[outcome(turn.before, score)[0]]
        mark = ("►" if unicode else ">") if chosen else " "
        line = Text(f"{mark} {column + 1} ", "bold" if chosen else "")
        line.append(f"{bar:<{BAR}}", style).append(f"{probability:7.1%}", "bold" if chosen else "")
        lines.append(line.append(f"  {value}", style))
    return [*lines, Text(f"    {note}", DIM)]


def verdict(board: Board, score: int) -> str:
    """Return `win in 3`, `draw` or `loss in 12`: the winner's discs are counted."""
    result, discs = outcome(board, score)
    return VERDICTS[result] + (f" in {discs}" if result else "")


def hint(board: Board, scores: tuple[int | None, ...]) -> str:
    """Return what the player to move can reach with each column, best first, in a sentence."""
    ways: dict[int, list[tuple[int, int]]] = {1: [], 0: [], -1: []}
    for column, score in enumerate(scores):
        if score is not None:
            result, discs = outcome(board, score)
            ways[result].append((column + 1, discs))
    parts = []
    for result, verb in ((1, "win"), (0, "draw"), (-1, "lose")):
        quickest_win_slowest_loss = sorted(ways[result], key=lambda way: way[1] * result)
        columns = (f"{c} (in {n})" if result else str(c) for c, n in quickest_win_slowest_loss)
        parts += [f"{verb} with {', '.join(columns)}"] if ways[result] else []
    return f"By the solver you {'; '.join(parts)}."


def printable(text: str, width: int = 40) -> str:
    """Return a user's text on one line of `width` characters at most, none of them control."""
    clean = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return clean if len(clean) <= width else f"{clean[: width - 3]}..."
