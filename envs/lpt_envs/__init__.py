"""Gymnasium environments for latent-plan research.

Importing the package registers them, so `gymnasium.make("lpt_envs:lpt/Maze2D-umaze-v1")` needs no
other import:

- `lpt/Maze2D-{umaze,medium,large}-v1`: D4RL's maze2d-*-v1, sparse reward;
- `lpt/Maze2D-{umaze,medium,large}-eval-v1`: its evaluation mazes;
- each of them as `-dense-v1`, for instance `lpt/Maze2D-umaze-eval-dense-v1`;
- `lpt/Maze2D-v1`: one's own, `gymnasium.make("lpt_envs:lpt/Maze2D-v1", maze="####/#OG#/####")`;
- `lpt/ConnectFour-v0`: Connect Four against the ESPER protocol's opponent, and against others
  `lpt/ConnectFour-{optimal,eps-greedy,random}-v0`.
"""

import gymnasium

from lpt_envs.maze2d.mazes import DEFAULT_HORIZON, MAZES, horizon_of


def _register_maze2d() -> None:
    entry = "lpt_envs.maze2d:Maze2DEnv"
    for name in MAZES:
        for reward, infix in (("sparse", ""), ("dense", "-dense")):
            gymnasium.register(
                id=f"lpt/Maze2D-{name}{infix}-v1",
                entry_point=entry,
                max_episode_steps=horizon_of(name),
                kwargs={"maze": name, "reward": reward},
            )
    # Without a maze it is refused, lest a policy for one's own maze be scored in another.
    gymnasium.register(
        id="lpt/Maze2D-v1",
        entry_point=entry,
        max_episode_steps=DEFAULT_HORIZON,
        kwargs={"maze": ""},
    )


def _register_connect_four() -> None:
    for opponent in ("esper", "optimal", "eps-greedy", "random"):
        infix = "" if opponent == "esper" else f"-{opponent}"
        gymnasium.register(
            id=f"lpt/ConnectFour{infix}-v0",
            entry_point="lpt_envs.connect_four.env:ConnectFourEnv",
            kwargs={"opponent": opponent},
        )


if "lpt/Maze2D-v1" not in gymnasium.registry:  # a reload must not warn about overriding
    _register_maze2d()
    _register_connect_four()
