"""Where trajectories end, and what return they are labeled with."""

from __future__ import annotations

import numpy as np

from lpt.config import ReturnConvention
from lpt.data.blocks import release, select, trajectory_blocks


def cut(
    terminals: np.ndarray, timeouts: np.ndarray | None, horizon: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one long run of steps into trajectories, as D4RL's `sequence_dataset` does.

    A trajectory ends at each step flagged by `terminals` or `timeouts`. Steps after the last
    flag belong to an unfinished trajectory and to none of the returned ones (D4RL drops them
    too). Files without `timeouts` are cut at the horizon, counted from the last end.

    Args:
        terminals: `[S]` bool, the step truly ended the task.
        timeouts: `[S]` bool, the step ended the recording only; None if the file has no such key.
        horizon: time limit in steps, needed only where `timeouts` is None.

    Returns:
        offsets: `[n+1]` int64, first step of each trajectory, then the end of the last.
        terminated: `[n]` bool, whether the trajectory's last step is flagged in `terminals`.

    Raises:
        ValueError: `timeouts` is None and no horizon is given.
    """
    if timeouts is None:
        if horizon is None:
            raise ValueError("there are no timeouts: set dataset.horizon to cut at the time limit")
        stops = np.flatnonzero(terminals) + 1
        starts = np.concatenate([[0], stops])
        limits = np.append(stops, len(terminals))
        inner = [
            np.arange(a + horizon, b + 1, horizon) for a, b in zip(starts, limits, strict=True)
        ]
        ends = np.union1d(stops, np.concatenate(inner))
    else:
        ends = np.flatnonzero(terminals | timeouts) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    return offsets, terminals[offsets[1:] - 1]


def drop_short(
    arrays: dict[str, np.ndarray], min_length: int, where: str
) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays without trajectories under `min_length` steps, and how many those were.

    Nothing is copied where nothing is dropped.
    """
    lengths = np.diff(arrays["offsets"])
    keep = lengths >= min_length
    if keep.all():
        return arrays, 0
    if not keep.any():
        raise ValueError(
            f"{where}: all {len(keep)} trajectories are shorter than dataset.min_length="
            f"{min_length} (the longest has {lengths.max()} steps). Lower dataset.min_length."
        )
    steps = np.repeat(keep, lengths)
    kept = {name: select(arrays[name], steps) for name in ("observations", "actions", "rewards")}
    kept["offsets"] = np.concatenate([[0], np.cumsum(lengths[keep])]).astype(np.int64)
    kept["terminated"] = arrays["terminated"][keep]
    return kept, int((~keep).sum())


def label(
    rewards: np.ndarray,
    offsets: np.ndarray,
    terminated: np.ndarray,
    convention: ReturnConvention,
    horizon: int | None,
    where: str = "data",
) -> np.ndarray:
    """Return the label y of each trajectory, `[n]` float32, in raw reward units.

    `recorded`: y = sum_t r_t. `held`: the end state is held to the horizon H, that is
    y = sum_t r_t + max(H - L, 0) r_last for a trajectory of L steps, unless it truly terminated
    (then nothing more can be earned and y is the sum).

    Args:
        rewards: `[S]`.
        offsets: `[n+1]`, strictly increasing.
        terminated: `[n]` bool.
        convention: `recorded` or `held`.
        horizon: H in steps, needed for `held`.
        where: name of the file or data set for errors.

    Raises:
        ValueError: unknown convention, `held` without a positive horizon, or a label that is beyond
            float32.
    """
    total = _sums(rewards, offsets)
    if convention == "recorded":
        return _labels(total, where)
    if convention != "held":
        raise ValueError(f"dataset.returns is {convention!r}, expected 'recorded' or 'held'")
    if horizon is None or horizon < 1:
        raise ValueError(
            f"dataset.returns='held' needs the task's horizon, got horizon={horizon}: set "
            "dataset.horizon to the evaluation's time limit in steps, or returns='recorded'"
        )
    held = remaining(offsets, terminated, horizon)
    return _labels(total + held * rewards[offsets[1:] - 1].astype(np.float64), where)


def _labels(returns: np.ndarray, where: str) -> np.ndarray:
    """Return labels as float32.

    Raises:
        ValueError: one is beyond float32.
    """
    with np.errstate(over="ignore"):
        labels = returns.astype(np.float32)
    if not np.isfinite(labels).all():
        i = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise ValueError(
            f"{where}: the return of trajectory {i} is {returns[i]:.3g}, beyond float32. Divide "
            "the rewards by a constant."
        )
    return labels


def remaining(offsets: np.ndarray, terminated: np.ndarray, horizon: int) -> np.ndarray:
    """Return the steps from each trajectory's end to the horizon `[n]`, 0 if it terminated.

    For so long the held label takes the end state to last.
    """
    return np.where(terminated, 0, np.maximum(horizon - np.diff(offsets), 0))


def highest(returns: np.ndarray, share: float) -> np.ndarray:
    """Return the numbers of the trajectories with the highest returns, in ascending order.

    Args:
        returns: `[n]`.
        share: of the trajectories, above 0 to 1; at least one is kept, of equal returns the
            earlier.

    Raises:
        ValueError: another share.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a share of the trajectories above 0, to 1")
    count = max(1, round(share * len(returns)))
    return np.sort(np.argsort(-returns, kind="stable")[:count])


def _sums(rewards: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the sum of each trajectory's rewards, `[n]` float64."""
    sums = []
    for part in trajectory_blocks(offsets):
        first, end = offsets[part.start], offsets[part.stop]
        # Summed in float64: a thousand float32 rewards would lose the last digits.
        sums.append(np.add.reduceat(rewards[first:end].astype(np.float64), offsets[part] - first))
        release(rewards)
    return np.concatenate(sums)
