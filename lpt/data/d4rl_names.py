"""What D4RL calls its files: the folders and names of its `infos.py`."""

from __future__ import annotations

import re

_MUJOCO = re.compile(
    r"(halfcheetah|hopper|walker2d|ant)-(random|medium|expert|medium-replay|medium-expert)"
)
_MAZE2D = re.compile(r"(maze2d-(?:eval-)?(?:umaze|medium|large))(-dense)?")
_ANTMAZE = {
    "umaze": "u-maze_noisy_multistart_False_multigoal_False",
    "umaze-diverse": "u-maze_noisy_multistart_True_multigoal_True",
    "medium-play": "big-maze_noisy_multistart_True_multigoal_False",
    "medium-diverse": "big-maze_noisy_multistart_True_multigoal_True",
    "large-play": "hardest-maze_noisy_multistart_True_multigoal_False",
    "large-diverse": "hardest-maze_noisy_multistart_True_multigoal_True",
}
_KITCHEN = {
    "complete": "mini_kitchen_microwave_kettle_light_slider-v0",
    "partial": "kitchen_microwave_kettle_light_slider-v0",
    "mixed": "kitchen_microwave_kettle_bottomburner_light-v0",
}


def d4rl_path(name: str) -> str | None:
    """Return where D4RL keeps a data set below its address, or None for a name it does not have.

    The folders are those of D4RL's `infos.py`: MuJoCo and antmaze v2, maze2d v1, kitchen v0.

    Args:
        name: such as `hopper-medium-replay`, without version.
    """
    if match := _MUJOCO.fullmatch(name):
        return f"gym_mujoco_v2/{match[1]}_{match[2].replace('-', '_')}-v2.hdf5"
    if match := _MAZE2D.fullmatch(name):
        return f"maze2d/{match[1]}-{'dense' if match[2] else 'sparse'}-v1.hdf5"
    family, _, rest = name.partition("-")
    if family == "antmaze" and rest in _ANTMAZE:
        return f"ant_maze_v2/Ant_maze_{_ANTMAZE[rest]}_sparse_fixed.hdf5"
    if family == "kitchen" and rest in _KITCHEN:
        return f"kitchen/{_KITCHEN[rest]}.hdf5"
    return None
