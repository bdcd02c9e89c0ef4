"""The environment and its data against D4RL's published figures; full-size runs are slow."""

import hashlib
import math

import numpy as np
import pytest

from lpt_envs.maze2d.controller import WaypointController
from lpt_envs.maze2d.mazes import horizon_of, parse_maze
from lpt_envs.maze2d.physics import GOAL_RADIUS, PointMaze
from lpt_envs.maze2d.waypoint import generate, rollout_fresh_controller

# mean return of D4RL's own controller over 100 episodes: (sparse, dense), as printed in its table
MAXIMA = {
    "umaze": (161.86, 193.66285642381482),
    "medium": (277.39, 297.4552547777125),
    "large": (273.99, 303.4857382709002),
    "umaze-eval": (141.4, 178.2137),
    "medium-eval": (204.93, 235.5659),
    "large-eval": (302.22, 326.0965),
}
EPISODES = 100

# published mean and standard deviation of the observations; our gates on one full-size run
OBSERVATIONS = {
    "umaze": ([1.9316, 2.3733, 0.0002, -0.0010], [0.8999, 0.7094, 2.2143, 2.4694]),
    "medium": ([3.4945, 3.4632, 0.0, 0.0], [1.3372, 1.5214, 2.3435, 2.3721]),
    "large": ([3.6928, 5.2794, 0.0, 0.0], [1.8033, 2.5799, 2.4437, 2.6557]),
}
MEAN_TOLERANCE = {"umaze": 0.03, "medium": 0.04, "large": 0.04}
FULL_SIZE = {"umaze": 1_000_000, "medium": 2_000_000, "large": 4_000_000}
FLAGS = {"umaze": (12466, 250), "medium": (11911, 250), "large": (16656, 450)}
# trajectories cut at the flag: ranges of mean return, nonzero share, greatest return, mean length
RETURNS = {
    "umaze": ((6.2, 6.6), (0.26, 0.28), (52, 60), (78, 82)),
    "medium": ((3.7, 4.0), (0.13, 0.15), (45, 49), (164, 173)),
    "large": ((2.0, 2.2), (0.07, 0.09), (50, 70), (232, 246)),
}
# mean return of a fresh controller in each episode
CEILINGS = {"umaze": 222, "medium": 419, "large": 557}


class _D4RLJitter:
    """D4RL's gridworld draws one `choice` per planned step from numpy's global stream."""

    def __init__(self) -> None:
        self._stream = np.random.RandomState(0)

    def random(self, size: int) -> np.ndarray:
        self._stream.choice(1, p=[1.0])
        return self._stream.uniform(size=size)


def _gym_random_state(seed: int) -> np.random.RandomState:
    """Seed as gym 0.x did: the first 8 bytes of the seed's SHA-512 as two 32-bit numbers."""
    words = np.frombuffer(hashlib.sha512(str(seed).encode()).digest()[:8], dtype="<u4")
    stream = np.random.RandomState()
    stream.seed([int(word) for word in words])
    return stream


def replay(name: str) -> tuple[float, float]:
    """Replay D4RL's reference script: mean sparse and dense return of one, reused controller."""
    maze = parse_maze(name)
    sim, resets = PointMaze(maze), _gym_random_state(0)
    controller = WaypointController(maze, _D4RLJitter())
    goal = (float(maze.goal[0]), float(maze.goal[1]))
    sparse = dense = 0.0
    for _ in range(EPISODES):
        cell = np.array(maze.cells[resets.choice(len(maze.cells))], dtype=float)
        position = cell + resets.uniform(low=-0.1, high=0.1, size=2)
        velocity = 0.1 * resets.randn(2)
        state = (*position.tolist(), *velocity.tolist())
        sim.reset(*state)
        for _ in range(horizon_of(name)):
            ax, ay, _solved = controller.act(state, goal)
            state = sim.step(ax, ay)
            distance = math.hypot(state[0] - goal[0], state[1] - goal[1])
            sparse += distance <= GOAL_RADIUS
            dense += math.exp(-distance)
    return sparse / EPISODES, dense / EPISODES


def statistics(data: dict[str, np.ndarray]) -> dict[str, object]:
    """Summarize generated data; a trajectory runs up to and including its flagged step."""
    observations, flags = data["observations"], np.flatnonzero(data["timeouts"])
    total = np.concatenate([[0.0], np.cumsum(data["rewards"], dtype=np.float64)])
    ends = np.concatenate([[0], flags + 1])
    returns = np.diff(total[ends])
    return {
        "flags": len(flags),
        "mean": observations.mean(0, dtype=np.float64).tolist(),
        "std": observations.std(0, dtype=np.float64).tolist(),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_max": float(returns.max()),
        "return_nonzero": float((returns > 0).mean()),
        "length_mean": float(np.diff(ends).mean()),
        "length_max": int(np.diff(ends).max()),
    }


def check_gates(name: str, found: dict[str, object]) -> None:
    """Assert that one full-size run is D4RL's distribution."""
    mean, std = OBSERVATIONS[name]
    np.testing.assert_allclose(found["mean"], mean, atol=MEAN_TOLERANCE[name])
    np.testing.assert_allclose(found["std"], std, rtol=0.015)
    flags, tolerance = FLAGS[name]
    assert abs(found["flags"] - flags) <= tolerance
    keys = ("return_mean", "return_nonzero", "return_max", "length_mean")
    for key, (low, high) in zip(keys, RETURNS[name], strict=True):
        assert low <= found[key] <= high, (name, key, found[key])


@pytest.mark.parametrize("name", MAXIMA)
def test_published_maxima_replay_exactly(name):
    sparse, dense = MAXIMA[name]
    found_sparse, found_dense = replay(name)
    assert found_sparse == pytest.approx(sparse, abs=1e-9)
    # the table prints the evaluation mazes to 4 decimals, the others in full
    assert found_dense == pytest.approx(dense, abs=6e-5 if name.endswith("eval") else 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_data_pass_the_gates(name):
    check_gates(name, statistics(generate(name, FULL_SIZE[name])))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_fresh_controller_sets_the_ceiling(name, ceiling):
    assert rollout_fresh_controller(name, episodes=500).mean() == pytest.approx(ceiling, rel=0.02)
