"""Games against one policy in a terminal, or through a pipe, until the person leaves."""

from __future__ import annotations

import math
import sys

from rich.console import Console
from rich.status import Status
from rich.text import Text

from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.play.game import SLOW_PLIES, Game, Player, is_quick, judge
from lpt_envs.connect_four.play.screen import (
    PERSON,
    POLICY,
    VERDICTS,
    has_dots,
    hint,
    make_console,
    printable,
    show,
)
from lpt_envs.connect_four.solver import analyze

HELP = """\
1 to 7    your disc into that column, counted from the left (0 to 6 in the data)
h         hint: what each column leads to with perfect play, by the solver
          (in 5: the winner ends the game with the fifth disc from now)
u         undo: take back your last disc and what the policy answered
n         new game, with a new plan
t 0.5     plan the next games for a return of 0.5 (+1 it wins, 0 draw, -1 it loses)
q         quit (so do Ctrl-D and Ctrl-C)
?         this help"""

SLOW = (
    f"With {SLOW_PLIES.start} to {SLOW_PLIES.stop - 1} discs on the board the solver is slow "
    "without numba and is not asked: pip install 'lpt-toolkit[solver]'."
)


class Session:
    """Games against one policy, until the person leaves."""

    def __init__(
        self,
        player: Player,
        console: Console,
        *,
        target: float,
        deterministic: bool,
        show_values: bool = False,
    ) -> None:
        """Begin the first game.

        Args:
            player: the policy.
            console: where to write.
            target: return to plan for: +1 the policy wins, 0 draw, -1 it loses.
            deterministic: the policy plays its most probable column, else it draws one.
            show_values: show what each of its moves leads to with perfect play.

        Raises:
            ValueError: if no plan can be found for the target.
        """
        self.player, self.console, self.target = player, console, target
        self.deterministic, self.show_values = deterministic, show_values
        self.discs = ("red", "yellow") if has_dots(console) else ("X", "O")
        self.results: list[int] = []
        self.game = self._new_game()

    def play(self) -> None:
        """Read lines and obey them until the end of the input, `q` or Ctrl-C."""
        self._introduce()
        try:
            self._show()
            while (line := self._read()) is not None and self._obey(line):
                pass
        except KeyboardInterrupt:
            self.console = make_console()  # the old one may have been cut off in mid-sentence
            self.console.print()
        won, drawn, lost = (self.results.count(result) for result in (1, 0, -1))
        score = f" The policy won {won}, drew {drawn} and lost {lost}." if self.results else ""
        self._say(f"Goodbye.{score}")

    def _new_game(self) -> Game:
        with self._busy("planning"):
            return Game(self.player, self.target, self.deterministic)

    def _read(self) -> str | None:
        over = self.game.result is not None
        prompt = "n new game, u undo, q quit: " if over else "Your column (1-7, ? for help): "
        self.console.print(Text(prompt, style="bold"), end="")
        try:
            line = input()
        except EOFError:
            self.console.print()
            return None
        if not sys.stdin.isatty():
            self._say(printable(line))  # a terminal has shown it already
        return line

    def _obey(self, line: str) -> bool:
        """Do what a line says; return False to leave."""
        command, _, rest = line.strip().partition(" ")
        command = command.lower()
        if command in ("q", "quit", "exit"):
            return False
        if command in ("t", "target"):
            self._new_target(rest)
        elif command in ("h", "hint"):
            self._hint()
        elif command in ("u", "undo"):
            self._undo()
        elif command in ("n", "new"):
            self._begin()
        elif command in ("?", "help"):
            self._say(HELP)
        else:
            self._answer(line.strip())
        return True

    def _answer(self, text: str) -> None:
        board = self.game.board
        shown = printable(text)
        if not text.isascii() or not text.removeprefix("-").isdigit():
            what = f"{shown!r} is no column and no command" if text else "Nothing typed"
            self._say(f"{what}: type a column, 1 to {COLUMNS}, or ? for help.")
        elif self.game.result is not None:
            self._say("The game is over: n for a new one, u to take back a move, q to quit.")
        elif len(text) > 9 or not 1 <= int(text) <= COLUMNS:
            self._say(f"Column {shown} is out of range: columns are 1 to {COLUMNS}.")
        elif not board.is_legal(int(text) - 1):
            legal = ", ".join(str(column + 1) for column in board.legal)
            self._say(f"Column {int(text)} is full: the open columns are {legal}.")
        else:
            self.game.answer(int(text) - 1)
            self._show()
            if self.game.result is not None:
                self.results.append(self.game.result)
                self._sum_up(self.game.result)

    def _undo(self) -> None:
        finished = self.game.result is not None
        if not self.game.take_back():
            self._say("There is nothing to take back: you have not moved yet.")
            return
        if finished:
            self.results.pop()
        self._show()

    def _new_target(self, text: str) -> None:
        try:
            target = float(text)
        except ValueError:
            target = math.nan
        if not math.isfinite(target):
            self._say("t takes a return, as in: t 0.5 (+1 the policy wins, 0 draw, -1 it loses).")
            return
        self.target = target
        self._say(f"The next game is planned for a return of {self.target:g}: n begins it.")

    def _begin(self) -> None:
        try:
            self.game = self._new_game()
        except ValueError as error:  # a target out of this world: the old game goes on
            self._say(str(error))
            self.target = self.game.target
            return
        self.console.print()
        self._describe_plan()
        self._show()

    def _hint(self) -> None:
        board = self.game.board
        if board.over:
            self._say("The game is over: there is nothing left to hint at.")
            return
        scores = self._scores(board)
        self._say(SLOW if scores is None else hint(board, scores))

    def _scores(self, board: Board) -> tuple[int | None, ...] | None:
        with self._busy("the solver is thinking"):
            return analyze(board).scores if is_quick(board) else None

    def _busy(self, what: str) -> Status:
        return self.console.status(f"{what} ...", spinner="line")

    def _say(self, text: str) -> None:
        self.console.print(Text(text))

    def _introduce(self) -> None:
        title = f"Connect Four against {printable(self.player.name, 80)}"
        self.console.print(Text(title, style="bold"))
        mine, yours = self.discs
        rest = ") moves first, as in its training; you are "
        line = Text.assemble("The policy (", (mine, POLICY), rest, (yours, PERSON), ".")
        self.console.print(line)
        self._describe_plan()
        self._say(f"Type a column, 1 to {COLUMNS} (0 to {COLUMNS - 1} in the data), or ? for help.")

    def _describe_plan(self) -> None:
        self._say(self.player.describe_plan(self.game.target, self.game.predicted))

    def _show(self) -> None:
        """Show the board, and the probabilities of the policy's last move."""
        how = "the most probable" if self.deterministic else "drawn"
        note = f"{how}; the plan predicts {self.game.predicted:+.2f}" if self.player.plans else how
        scores = self._scores(self.game.turns[-1].before) if self.show_values else None
        show(self.console, self.game, note, scores)

    def _sum_up(self, result: int) -> None:
        game = self.game
        words = {
            1: (f"The policy ({self.discs[0]}) wins.", POLICY),
            0: ("A draw.", "bold"),
            -1: (f"You ({self.discs[1]}) win!", PERSON),
        }
        predicted = f"; its plan predicted {game.predicted:+.2f}" if self.player.plans else ""
        returned = f" The policy's return is {result:+d}{predicted}."
        self.console.print(Text.assemble(words[result], returned))
        with self._busy("the solver looks at the game"):
            judgment = judge(game.turns)
        kept, judged = judgment.moves - len(judgment.mistakes), judgment.moves
        which = f"of its {judged}" if judged == len(game.turns) else f"of {judged} judged"
        self._say(f"{kept} {which} moves kept the game's value, by the solver.")
        for slip in judgment.mistakes:
            became = f"a {VERDICTS[slip.before]} became a {VERDICTS[slip.after]}"
            self._say(f"  move {slip.move} in column {slip.column + 1}: {became}")
