"""``lpt-play``: play Connect Four against a trained policy, in the terminal."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.status import Status
from rich.text import Text

from lpt.checks import config_group, finite_target
from lpt.cli.play_screen import (
    PERSON,
    POLICY,
    VERDICTS,
    has_dots,
    hint,
    make_console,
    printable,
    show,
)
from lpt.evaluation import EvaluationConfig
from lpt.play import SLOW_PLIES, Game, check_policy, is_quick, judge
from lpt.policy import LPTPolicy
from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.solver import analyse

DESCRIPTION = """Play Connect Four against a trained policy, in the terminal.

The policy always moves first, as in its training; you answer. It plans once a game, for the return
it is asked for (+1: it wins, 0: a draw, -1: it loses), and each turn shows the board, what the plan
predicts, and how likely the policy was to play each column.

Type a column, 1 to 7 from the left (the data and the environment count the same columns from 0 to
6), or a command: h hint, u undo, n new game, t RETURN new target, q quit, ? help. Lines are read
from standard input, so that games can be scripted:

  printf '4\\n4\\n' | lpt-play connect-four runs/connect-four/amortised-seed0

Colours need a terminal, and NO_COLOR unset; otherwise the policy's discs are X and yours O."""

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


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of lpt-play."""

    game: tyro.conf.Positional[Literal["connect-four"]]
    """The game."""
    run: tyro.conf.Positional[Path]
    """Run folder (runs/<task>/<inference>-seed<k>) or a checkpoint inside it."""
    which: Literal["last", "best"] = "last"
    """Checkpoint of the run."""
    target: float | None = None
    """Return to plan for: +1 the policy wins, 0 draw, -1 it loses; unset: as configured."""
    weight: float | None = None
    """Planning weight w: 1 is LPT, above 1 LPT-EI; unset: as configured."""
    actions: Literal["mode", "sample"] | None = None
    """Play the most probable column, or draw one; unset: as configured."""
    seed: int | None = None
    """Seed of planning and of drawn moves; unset: another one each time, which is shown."""
    show_values: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show beside the bars what each move leads to with perfect play, by the solver."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 with one line on stderr for a user's error."""
    options = tyro.cli(Arguments, args=arguments, description=DESCRIPTION, prog="lpt-play")
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # stray bytes are wrong input, no reason to stop
    try:
        Session(options, make_console()).play()
    except KeyboardInterrupt:
        return 130  # while loading: nothing to say goodbye to
    except (ValueError, OSError) as error:
        print(f"lpt-play: {error}", file=sys.stderr)
        return 2
    return 0


class Session:
    """Games against one policy, until the person leaves."""

    def __init__(self, options: Arguments, console: Console) -> None:
        """Load the policy.

        Raises:
            FileNotFoundError: if there is no policy.
            ValueError: if it does not play Connect Four, or an option is wrong.
        """
        self.console, self.show_values = console, options.show_values
        self.seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"--seed {self.seed} must be between 0 and 2^63 - 1")
        with self._busy("loading the policy"):
            self.policy = LPTPolicy.load(
                options.run, options.which, target=options.target, seed=self.seed
            )
        check_policy(self.policy)
        planned = self.policy.planning.weight
        self.target = self.policy.target
        self.weight = planned if options.weight is None else options.weight
        stored = self.policy.metadata.config.get("evaluation", {})
        configured = config_group(EvaluationConfig, stored, "evaluation").deterministic
        mode = options.actions
        self.deterministic = configured if mode is None else mode == "mode"
        self.discs = ("red", "yellow") if has_dots(console) else ("X", "O")
        self.results: list[int] = []
        self.game = self._new_game()

    def play(self) -> None:
        """Read lines and obey them until the end of the input, ``q`` or Ctrl-C."""
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

    @property
    def _plans(self) -> bool:
        """Whether the policy infers a plan; a baseline does not."""
        return self.policy.metadata.algorithm == "lpt"

    def _new_game(self) -> Game:
        with self._busy("planning"):
            return Game(self.policy, self.target, self.weight, self.deterministic)

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
        """Do what a line says; False to leave."""
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
            self.target = finite_target(float(text))
        except ValueError:
            self._say("t takes a return, as in: t 0.5 (+1 the policy wins, 0 draw, -1 it loses).")
            return
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
            return analyse(board).scores if is_quick(board) else None

    def _busy(self, what: str) -> Status:
        return self.console.status(f"{what} ...", spinner="line")

    def _say(self, text: str) -> None:
        self.console.print(Text(text))

    def _introduce(self) -> None:
        metadata = self.policy.metadata
        name = f"{metadata.task}, {metadata.algorithm}, step {metadata.step}, seed {self.seed}"
        self.console.print(Text(f"Connect Four against {printable(name)}", style="bold"))
        mine, yours = self.discs
        rest = ") moves first, as in its training; you are "
        line = Text.assemble("The policy (", (mine, POLICY), rest, (yours, PERSON), ".")
        self.console.print(line)
        self._describe_plan()
        self._say(f"Type a column, 1 to {COLUMNS} (0 to {COLUMNS - 1} in the data), or ? for help.")

    def _describe_plan(self) -> None:
        game = self.game
        if self._plans:
            asked = f"asked for a return of {game.target:g} with w = {game.weight:g}"
            text = f"Its plan, {asked}, predicts {game.predicted:+.2f}."
        elif self.policy.metadata.algorithm in ("bc", "bc-10"):
            text = "It imitates the games of its data and plans for no return."
        else:
            text = f"It is prompted with a return of {game.target:g} and makes no prediction."
        self._say(text)

    def _show(self) -> None:
        """The board, and the probabilities of the policy's last move."""
        how = "the most probable" if self.deterministic else "drawn"
        note = f"{how}; the plan predicts {self.game.predicted:+.2f}" if self._plans else how
        scores = self._scores(self.game.turns[-1].before) if self.show_values else None
        show(self.console, self.game, note, scores)

    def _sum_up(self, result: int) -> None:
        game = self.game
        words = {
            1: (f"The policy ({self.discs[0]}) wins.", POLICY),
            0: ("A draw.", "bold"),
            -1: (f"You ({self.discs[1]}) win!", PERSON),
        }
        predicted = f"; its plan predicted {game.predicted:+.2f}" if self._plans else ""
        returned = f" The policy's return is {result:+d}{predicted}."
        self.console.print(Text.assemble(words[result], returned))
        with self._busy("the solver looks at the game"):
            judgement = judge(game.turns)
        kept, judged = judgement.moves - len(judgement.mistakes), judgement.moves
        which = f"of its {judged}" if judged == len(game.turns) else f"of {judged} judged"
        self._say(f"{kept} {which} moves kept the game's value, by the solver.")
        for slip in judgement.mistakes:
            became = f"a {VERDICTS[slip.before]} became a {VERDICTS[slip.after]}"
            self._say(f"  move {slip.move} in column {slip.column + 1}: {became}")


if __name__ == "__main__":
    sys.exit(main())
