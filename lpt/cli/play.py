"""`lpt-play`: play Connect Four against a trained policy, in the terminal."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version

if TYPE_CHECKING:
    from lpt_envs.connect_four.play import Session

DESCRIPTION = """Play Connect Four against a trained policy, in the terminal.

The policy always moves first, as in its training; you answer. It plans once a game, for the return
it is asked for (+1: it wins, 0: a draw, -1: it loses), and each turn shows the board, what the plan
predicts, and how likely the policy was to play each column.

Type a column, 1 to 7 from the left (the data and the environment count the same columns from 0 to
6), or a command: h hint, u undo, n new game, t RETURN new target, q quit, ? help. Lines are read
from standard input, so that games can be scripted:

  printf '4\\n4\\n' | lpt-play connect-four runs/connect-four/langevin-seed0

Colors need a terminal, and NO_COLOR unset; otherwise the policy's discs are X and yours O."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of lpt-play."""

    game: tyro.conf.Positional[Literal["connect-four"]]
    """The game."""
    run: tyro.conf.Positional[Path]
    """Run folder (runs/<task>/<engine>-seed<k>), a checkpoint inside it, pretrained:NAME (lpt-info
    lists them) or hf:USER/NAME (needs the extra 'hub')."""
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
    if show_version("lpt-play", sys.argv[1:] if arguments is None else arguments):
        return 0
    options = tyro.cli(Arguments, args=arguments, description=DESCRIPTION, prog="lpt-play")
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # stray bytes are wrong input, no reason to stop
    return ending("lpt-play", lambda: begin(options).play())


def begin(options: Arguments) -> Session:
    """Load the policy and begin a session.

    Raises:
        FileNotFoundError: if there is no policy.
        ValueError: if it does not play Connect Four, or an option is wrong.
    """
    with at_once():
        from lpt.cli.play_player import PolicyPlayer
        from lpt.evaluation.policy import LPTPolicy
        from lpt_envs.connect_four.play import Session, make_console

    console = make_console()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    if not 0 <= seed < 1 << 63:
        raise ValueError(f"--seed {seed} must be between 0 and 2^63 - 1")
    with console.status("loading the policy ...", spinner="line"):
        policy = LPTPolicy.load(options.run, options.which, target=options.target, seed=seed)
    player = PolicyPlayer(policy, options.weight, seed)
    mode, stored = options.actions, policy.metadata.config.evaluation.acts_by_mode(discrete=True)
    return Session(
        player,
        console,
        target=policy.target,
        deterministic=stored if mode is None else mode == "mode",
        show_values=options.show_values,
    )


if __name__ == "__main__":
    sys.exit(main())
