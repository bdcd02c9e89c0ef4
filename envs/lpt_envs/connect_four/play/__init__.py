"""Playing Connect Four against a policy: the game, what it looks like, and a session of games."""

from lpt_envs.connect_four.play.game import Game, Player
from lpt_envs.connect_four.play.screen import make_console
from lpt_envs.connect_four.play.session import Session

__all__ = ["Game", "Player", "Session", "make_console"]
