"""Batches of trajectories, whole or as random segments that estimate a sum over all steps.

Shapes: `B` trajectories of a batch, `M` segments of each, `L` tokens of a segment.

A trajectory's length is here that of what is learned from: its recorded steps, and after them the
held ones (`lpt.data.held`), which no array stores.

One segment of c scored steps with a context of K steps::

      first        start            end       first = max(start - (K-1), 0), start cut at 0
        |  burn-in   |  scored steps  |       end = min(start + c, length)
        |  weight 0  |    weight w    |  padding, weight 0
    L:  0 ------------------------------------> K - 1 + c

Each scored step sees the K - 1 steps before it (as many as the trajectory has), hence exactly the
history it would see if the whole trajectory were read.

The start is uniform over -(c-1) ... length-1, so segments hang over both ends and every step, the
first and the last included, lies in a segment with the same probability p = c / (length + c - 1).
With w = 1 / (M p), sum(weight * f) is an unbiased estimate of sum_t f_t. So it is where the M
starts are `stratified`, each uniform over an M-th of that range: together they cover it as evenly.

What a batch estimates. Let T_i be trajectory i's length, S_i the sum of f over its steps, and v_i
its chance: T_i or 1 (`draw`), times exp(`label_tilt` u_i), u_i its label from 0 (lowest) to 1
(highest). Then for a batch of one trajectory

    E[sum(weight * f)] = sum_i v_i C_i / sum_i v_i,    C_i = S_i           (counted_steps = 0)
                                                       C_i = n S_i / T_i   (counted_steps = n > 0)

whether it is read whole or in segments. Without a tilt, `uniform` is thus the mean of sums over
trajectories (each step counts alike), `length` weighs a trajectory by T_i once more than that;
with n, `length` makes each step count alike and `uniform` each trajectory. Batches of more differ a
little, as they never repeat a trajectory: every next one is drawn by v_i among the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from lpt.config import SamplerConfig
from lpt.data.blocks import read_scattered, release
from lpt.data.dataset import TrajectoryDataset
from lpt.data.held import HeldSteps

_RESIDENT_BYTES = 1 << 30
"""Memory maps below this size stay in memory once read; of larger ones only a batch's pages do."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Segments of B different trajectories, as torch tensors; valid tokens come first."""

    index: torch.Tensor
    """`[B]` int64, trajectory numbers in the data set, never repeated."""
    rows: torch.Tensor
    """`[B]` int64, their places in the batch as it was drawn; where processes share it, B is
    this process's part."""
    drawn: torch.Tensor
    """`[whole batch]` int64, the trajectories of all processes."""
    observations: torch.Tensor
    """`[B, M, L, observation_dim]` float32, standardized, zero on padding."""
    previous_actions: torch.Tensor
    """`[B, M, L, act_dim]` float32, the action before each observation, one-hot if discrete;
    zero at a trajectory's first step and on padding."""
    actions: torch.Tensor
    """`[B, M, L, act_dim]` float32 raw units, or `[B, M, L]` int64; zero on padding."""
    weight: torch.Tensor
    """`[B, M, L]` float32; zero on padding and burn-in, else one over the expected number of
    times the step is scored."""
    returns: torch.Tensor
    """`[B]` float32, the standardized label y."""
    begin: torch.Tensor
    """`[B]` float32, the share of each trajectory's recorded steps before what its segments were
    drawn from."""

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with every tensor on `device`."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def __repr__(self) -> str:
        shapes = ", ".join(f"{f.name} {list(getattr(self, f.name).shape)}" for f in fields(self))
        return f"Batch({shapes})"


class TrajectorySampler:
    """Draws batches; everything random comes from one generator whose state can be saved."""

    def __init__(
        self,
        dataset: TrajectoryDataset,
        config: SamplerConfig,
        context: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
        owned: bool = False,
        ends: bool = False,
    ) -> None:
        """Prepare sampling.

        Args:
            dataset: trajectories to draw from.
            config: sizes of a batch.
            context: K, steps of history (the current one included) that the model attends to.
            seed: of the generator.
            shard: (rank, number of processes). All processes draw the same trajectories; this one's
                batches hold each process-th of them, the rank-th first.
            owned: whether they hold the drawn trajectories i with i % processes == rank instead, so
                that a trajectory is always the same process's; parts then differ in size.
            ends: whether segments are of a trajectory's end only, from a random recorded step on,
                as if it had begun there; held steps stay. That end then counts as the trajectory:
                the sum over its steps, or `counted_steps`.

        Raises:
            ValueError: `context` is below 1, or the batch is larger than the data set.
        """
        if context < 1:
            raise ValueError(f"context is {context}, expected at least 1 step")
        if config.batch_trajectories > dataset.num_trajectories:
            raise ValueError(
                f"sampler.batch_trajectories is {config.batch_trajectories}, but "
                f"{dataset.provenance.id} has {dataset.num_trajectories} trajectories and a batch "
                f"never repeats one: set it to {dataset.num_trajectories} or less"
            )
        self.dataset = dataset
        self.config = config
        self.context = context
        self.shard, self.owned, self.ends = shard, owned, ends
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._lengths = dataset.learned_lengths
        weight = self._lengths if config.draw == "length" else np.ones(dataset.num_trajectories)
        self._inverse_weight = (1.0 / weight * self._rarity()).astype(np.float32)
        self._returns = ((dataset.returns - dataset.return_mean) / dataset.return_std).astype(
            np.float32
        )
        self._one_hot = np.eye(dataset.action_dim, dtype=np.float32) if dataset.discrete else None
        self._large = dataset.observations.nbytes + dataset.actions.nbytes > _RESIDENT_BYTES
        read_scattered(dataset.observations, dataset.actions)

    def next(self) -> Batch:
        """Return the next random batch; see `draw`."""
        return self.resegment(self.draw())

    def draw(self, among: np.ndarray | None = None) -> np.ndarray:
        """Return the trajectories `[B]` of the next batch.

        Trajectories are drawn one after another, in proportion to length or with equal chances,
        tilted by label, among those not yet drawn (successive sampling without replacement). This
        is done at once
        by an exponential race: trajectory i arrives at time Exp(1) / weight_i, the first B arrivals
        are taken (Efraimidis and Spirakis 2006, where the key is u^(1/w)).

        Args:
            among: `[n]` bool, those to draw from, all of them where they are fewer than a batch;
                unset: any.
        """
        arrival = self._rng.standard_exponential(len(self._inverse_weight), dtype=np.float32)
        arrival *= self._inverse_weight
        count = self.config.batch_trajectories
        if among is not None:
            arrival[~among] = np.inf
            count = min(count, int(among.sum()))
        if count < len(arrival):
            return np.argpartition(arrival, count)[:count]
        return np.argsort(arrival)

    def resegment(self, index: np.ndarray | torch.Tensor) -> Batch:
        """Return fresh random segments of the trajectories `index` `[B]` that are of this shard.

        Reads them whole (and the same each time) where `config.segments` is 0.
        """
        index = self._as_index(index)
        if self.config.segments == 0:
            return self.whole(index)
        c, m = self.config.segment_steps, self.config.segments
        length = self._lengths[index][:, None]
        begin = self._rng.random((len(index), 1)) if self.ends else np.zeros((len(index), 1))
        skipped = (begin * self.dataset.lengths[index][:, None]).astype(np.int64)
        seen = length - skipped
        start = self._starts(seen + c - 1) - (c - 1)
        mine = self._rows(index)
        seen, start, skipped, begin = seen[mine], start[mine], skipped[mine], begin[mine]
        scored = np.maximum(start, 0) + skipped
        first = np.maximum(scored - (self.context - 1), skipped)
        weight = ((seen + c - 1) / (m * c)).astype(np.float32) * self._share(seen)
        end = np.minimum(start + c, seen) + skipped
        shown = (skipped, begin)
        return self._gather(index, first, scored, end, weight, self.context - 1 + c, shown)

    def whole(self, index: np.ndarray | torch.Tensor) -> Batch:
        """Return the trajectories `index` `[B]` that are of this shard whole.

        M = 1, L the longest of all, weight 1 a step (or that of `counted_steps`).
        """
        index = self._as_index(index)
        longest = int(self._lengths[index].max())
        length = self._lengths[index[self._rows(index)]][:, None]
        zero = np.zeros_like(length)
        shown = (zero, np.zeros(length.shape))
        return self._gather(index, zero, zero, length, self._share(length), longest, shown)

    def return_quantiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """Return quantiles of the labels, raw units, as they are drawn.

        By length, a trajectory counts once for each of its steps: in a replay buffer full of short
        failures the 99 % quantile is then what good episodes earn, not the best failures. With a
        tilt it counts as many times more as it is drawn.
        """
        order = np.argsort(self.dataset.returns, kind="stable")
        drawn = np.cumsum(1.0 / self._inverse_weight[order], dtype=np.float64)
        place = np.searchsorted(drawn, np.asarray(shares) * drawn[-1])
        found = self.dataset.returns[order[np.minimum(place, len(order) - 1)]]
        return tuple(map(float, found))

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, JSON-serializable; restoring it resumes exactly."""
        return {"generator": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._rng.bit_generator.state = state["generator"]

    def _rarity(self) -> np.ndarray:
        """Return how many times as seldom as the highest label `label_tilt` draws each, `[n]`."""
        returns = self.dataset.returns.astype(np.float64)
        below = (returns.max() - returns) / (np.ptp(returns) or 1.0)  # all equal: all highest
        return np.asarray(np.exp(self.config.label_tilt * below))

    def _share(self, length: np.ndarray) -> np.ndarray:
        """Return what a step of a trajectory of `length` counts, float32."""
        counted = self.config.counted_steps
        return np.asarray(counted / length if counted else np.ones(length.shape), np.float32)

    def _starts(self, width: np.ndarray) -> np.ndarray:
        """Return M numbers, uniform over 0 ... width-1 all together, for each width `[B, 1]`."""
        shape = (len(width), self.config.segments)
        if not self.config.stratified:
            return self._rng.integers(0, width, size=shape)
        share = (np.arange(shape[1]) + self._rng.random(shape)) / shape[1]
        start: np.ndarray = np.minimum((share * width).astype(np.int64), width - 1)  # if rounded up
        return start

    def _rows(self, index: np.ndarray) -> np.ndarray:
        """Return the places of this shard's trajectories among `index` `[B]`."""
        rank, count = self.shard
        number = index if self.owned else np.arange(len(index))
        return np.flatnonzero(number % count == rank)

    def _as_index(self, index: np.ndarray | torch.Tensor) -> np.ndarray:
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        return np.array(index, dtype=np.int64)  # a copy: the batch keeps it

    def _gather(
        self,
        index: np.ndarray,
        first: np.ndarray,
        scored: np.ndarray,
        end: np.ndarray,
        weight: np.ndarray,
        tokens: int,
        shown: tuple[np.ndarray, np.ndarray],
    ) -> Batch:
        """Read steps first ... end-1 of each segment, `[B, M]` each, into `tokens` places.

        `shown` is the first step of each trajectory that may be seen, `[B, 1]`, and its share.
        """
        data, drawn, rows = self.dataset, index, self._rows(index)
        if self._large:  # the last batch's pages; this one's may serve others meanwhile
            release(data.observations, data.actions)
        index = index[rows]
        step = first[..., None] + np.arange(tokens)  # [B, M, L]
        valid = step < end[..., None]
        base = data.offsets[index][:, None, None]
        row = np.minimum(base + step, base + end[..., None] - 1)  # padding rereads the last step
        held = HeldSteps.of(data, row, index)
        mask = valid[..., None].astype(np.float32)
        observations = held.observations(data)
        observations -= data.observation_mean
        observations /= data.observation_std
        observations *= mask
        actions = held.actions(data)
        actions *= valid if data.discrete else mask
        before = np.take(data.actions, np.clip(row - 1, 0, held.end), axis=0)
        if self._one_hot is not None:
            before = np.take(self._one_hot, before, axis=0)
        before *= mask * ((step > shown[0][..., None]) & (held.number <= 1))[..., None]
        arrays = (
            index,
            rows,
            drawn,
            observations,
            before,
            actions,
            weight[..., None] * (valid & (step >= scored[..., None])),
            self._returns[index],
            shown[1][:, 0].astype(np.float32),
        )
        return Batch(*(torch.from_numpy(array) for array in arrays))
