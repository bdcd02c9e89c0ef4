"""Connect Four as a gymnasium environment, after the ESPER protocol."""

from __future__ import annotations

import operator
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from lpt_envs.connect_four.board import COLUMNS, ROWS, Board
from lpt_envs.connect_four.opponents import Opponent, Reply, make_opponent, reply_column
from lpt_envs.connect_four.rendering import to_image, to_text

__all__ = ["ConnectFourEnv"]

Illegal = Literal["remap", "lose", "raise"]

_CELLS = COLUMNS * ROWS
_START = Board()
_NONE = -1
_BEFORE_RESET = "call reset() before the first step()"
_AFTER_END = "the game is over: call reset() before the next step()"


class ConnectFourEnv(gymnasium.Env[NDArray[np.float32], int | np.integer[Any]]):
    """The agent moves first; a step is its disc and the opponent's reply, 21 steps at most.

    Observation: float32 [84], zeros and ones, index = plane * 42 + column * 6 + height from the
    bottom; plane 0 holds the agent's discs, plane 1 the opponent's. Action: a column, 0 to 6.
    Reward: at the end only, +1 win, 0 draw, -1 loss; perfect play wins.

    `info` holds `action_mask` (int8 [7], 1 = the column is open), `success` (bool: the agent has
    won) and, after a step, `column` and `opponent_column` (where the two discs went; -1 where none
    was played) and `illegal` (bool: the column asked for was full).

    Args:
        opponent: `"esper"` (perfect, but where column 6 is best it plays a uniform other column
            with probability 0.2), `"optimal"`, `"eps-greedy"`, `"random"`; or one's own, a function
            `reply(board, rng) -> column` or an object with such a method.
        illegal: What a full column does: `"remap"` plays the leftmost open one, `"lose"` ends the
            game as a loss, `"raise"` is a ValueError and leaves the game as it was.
        epsilon: Probability of a uniform open column, for the opponent `"eps-greedy"`.
        last_disc_draw: Reproduce a quirk of the original: an opponent's win with the last disc, the
            42nd, counts as a draw.
        render_mode: None, `"ansi"` (colored unless the variable NO_COLOR is set) or `"rgb_array"`.

    Raises:
        ValueError: An unknown opponent, illegal or render mode, or epsilon outside [0, 1].
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        opponent: str | Opponent | Reply = "esper",
        illegal: Illegal = "remap",
        epsilon: float = 0.1,
        last_disc_draw: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if illegal not in get_args(Illegal):
            raise ValueError(f"illegal must be one of {get_args(Illegal)}, got {illegal!r}")
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode must be None or one of {modes}, got {render_mode!r}")
        self.opponent = make_opponent(opponent, epsilon)
        self.illegal = illegal
        self.last_disc_draw = bool(last_disc_draw)
        self.render_mode = render_mode
        self.observation_space = Box(0.0, 1.0, (2 * _CELLS,), np.float32)
        self.action_space = Discrete(COLUMNS)
        self._begin(_START)
        self._over = _BEFORE_RESET

    def _begin(self, board: Board) -> None:
        self._board = board
        self._observation = board.observation()
        self._open = np.array([board.is_legal(column) for column in range(COLUMNS)], np.int8)
        self._last: int | None = None
        self._over = ""  # else why no step is taken now
        self._note: str | None = None

    @property
    def board(self) -> Board:
        """The position; during a game the agent is to move."""
        return self._board

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a game.

        Args:
            seed: Reseeds the environment's generator, the only source of randomness.
            options: `{"moves": "3342"}` starts after these columns, both players' in turn, or
                `{"board": grid}` from a grid [6, 7] with row 0 at the bottom, 1 for the agent, 2
                for the opponent and 0 for empty cells; the agent must be to move.

        Returns:
            The observation [84] and the info.

        Raises:
            ValueError: Unknown options, an impossible position, one in which the game is over or
                the opponent to move.
        """
        super().reset(seed=seed)
        self._begin(_position(options) if options else _START)
        return self._observation.copy(), {"success": False, "action_mask": self._open.copy()}

    def step(
        self, action: int | np.integer[Any]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Drop the agent's disc and, if the game goes on, the opponent's.

        Args:
            action: Column, 0 to 6.

        Returns:
            The observation [84], the reward, whether the game is over, False (a game needs no time
            limit) and the info.

        Raises:
            ValueError: Not a column; a full one with `illegal="raise"`; or an opponent of one's own
                returned no column.
            gymnasium.error.ResetNeeded: The game is over, or none has begun.
        """
        if self._over:
            raise ResetNeeded(self._over)
        start, column = self._board, _column(action)
        illegal = not start.is_legal(column)
        if illegal:
            if self.illegal == "lose":
                return self._forfeit(column)
            if self.illegal == "raise":
                raise ValueError(f"column {column} is full; open columns: {list(start.legal)}")
            column = start.resolve(column)
        middle = start.play(column)
        if middle.won:
            self._place(start, middle, column, 0)
            return self._result(1.0, True, column, _NONE, illegal)
        # asked before anything changes: an opponent that raises leaves the game as it was
        reply = reply_column(self.opponent, middle, self.np_random)
        end = middle.play(reply)
        self._place(start, middle, column, 0)
        self._place(middle, end, reply, _CELLS)
        lost = end.won and not (self.last_disc_draw and end.full)
        return self._result(-1.0 if lost else 0.0, lost or end.full, column, reply, illegal)

    def _place(self, before: Board, after: Board, column: int, plane: int) -> None:
        """Enter one disc; `plane` is the first index of its player's cells."""
        cell = (after.mask ^ before.mask).bit_length() - 1  # column * 7 + height
        self._observation[plane + cell - column] = 1.0
        if not after.is_legal(column):
            self._open[column] = 0
        self._board, self._last = after, column

    def _forfeit(
        self, column: int
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._note = f"column {column} is full: the agent loses"
        return self._result(-1.0, True, _NONE, _NONE, True)

    def _result(
        self, reward: float, over: bool, column: int, reply: int, illegal: bool
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if over:
            self._over = _AFTER_END
        info = {
            "success": reward > 0.0,
            "action_mask": self._open.copy(),
            "column": column,
            "opponent_column": reply,
            "illegal": illegal,
        }
        return self._observation.copy(), reward, over, False, info

    def render(self) -> NDArray[np.uint8] | str | None:
        """Draw the board: the winning four ringed, the last disc marked.

        Returns:
            A string in `ansi` mode, an image [512, 560, 3] in `rgb_array` mode, else None.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() was called without a render_mode; pass render_mode='rgb_array' or "
                "'ansi' to gymnasium.make"
            )
            return None
        if self.render_mode == "rgb_array":
            return to_image(self._board, self._last)
        return to_text(self._board, self._last, note=self._note)


def _column(action: Any) -> int:
    try:
        column = operator.index(action)
    except TypeError:
        column = _NONE
    if not 0 <= column < COLUMNS:
        raise ValueError(
            f"action must be a column, an integer 0 to {COLUMNS - 1}, got {action!r}; for many "
            "environments at once use a gymnasium vector environment"
        )
    return column


def _position(options: dict[str, Any]) -> Board:
    """Return the board that reset's options ask for."""
    if len(options) != 1 or not options.keys() <= {"moves", "board"}:
        raise ValueError(f"reset options are either 'moves' or 'board', got {sorted(options)}")
    ((name, value),) = options.items()
    try:
        board = Board.from_moves(value) if name == "moves" else Board.from_grid(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"options[{name!r}]: {error}") from error
    if board.over:
        raise ValueError(f"options[{name!r}]: the game is over in that position")
    if board.ply % 2:
        raise ValueError(
            f"options[{name!r}]: {board.ply} discs leave the opponent to move; the agent moves "
            "first, so give an even number"
        )
    return board
