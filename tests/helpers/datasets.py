"""Small random data sets; everything is seeded."""

import numpy as np

from lpt.data import Provenance, TrajectoryDataset


def random_steps(lengths: list[int], seed: int) -> tuple[np.random.Generator, np.ndarray]:
    """A generator, and the offsets of trajectories of the given lengths."""
    return np.random.default_rng(seed), np.concatenate(([0], np.cumsum(lengths)))


def continuous() -> TrajectoryDataset:
    """24 trajectories of 1 to 30 steps with 3 observations and 2 actions."""
    lengths = [1, 2, 3, 30, *np.random.default_rng(5).integers(4, 30, 20).tolist()]
    rng, offsets = random_steps(lengths, 0)
    steps = int(offsets[-1])
    return TrajectoryDataset.from_offsets(
        rng.normal(2.0, 3.0, (steps, 3)),
        rng.uniform(-1.0, 1.0, (steps, 2)),
        rng.normal(size=steps),
        offsets,
        provenance=Provenance(id="random"),
    )


def discrete() -> TrajectoryDataset:
    """16 trajectories of 4 to 12 steps with 3 observations and 5 discrete actions."""
    lengths = np.random.default_rng(6).integers(4, 12, 16).tolist()
    rng, offsets = random_steps(lengths, 1)
    steps = int(offsets[-1])
    flags = np.zeros(steps, bool)
    flags[offsets[1:] - 1] = True
    actions = rng.integers(0, 5, steps)
    actions[:5] = np.arange(5)
    return TrajectoryDataset.from_steps(
        rng.normal(size=(steps, 3)), actions, rng.normal(size=steps), flags, np.zeros(steps, bool)
    )


def two_behaviors() -> TrajectoryDataset:
    """96 trajectories of 12 to 24 steps by two players that push the one action up or down.

    Observations tell nothing; one action tells little (mean +-0.4, noise 0.4); the sum of a
    trajectory's actions tells the player, and the return is +1 for one and -1 for the other.
    """
    lengths = np.random.default_rng(7).integers(12, 25, 96).tolist()
    rng, offsets = random_steps(lengths, 2)
    steps = int(offsets[-1])
    player = np.repeat(np.tile([1.0, -1.0], 48), lengths)
    rewards = np.zeros(steps)
    rewards[offsets[1:] - 1] = player[offsets[1:] - 1]
    actions = 0.4 * player[:, None] + 0.4 * rng.normal(size=(steps, 1))
    return TrajectoryDataset.from_offsets(
        rng.normal(size=(steps, 2)), actions.clip(-1.0, 1.0), rewards, offsets
    )
