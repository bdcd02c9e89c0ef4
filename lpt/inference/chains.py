"""Persistent chains: one state `z0` for each trajectory of the data set, kept across visits.

A chain belongs to a trajectory by its number in the data set (never by its place in a batch), and
batches hold a trajectory once, so no two updates write one chain. With several processes each owns
the trajectories of its shard; `Chains.state_dict` and `Chains.load_state_dict` speak of
the whole data set, so a save can be loaded by any number of processes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lpt.machine.processes import Ranks


class Chains:
    """States of the chains of trajectories `shard[0], shard[0] + shard[1], ...`."""

    def __init__(
        self,
        trajectories: int,
        plan_shape: tuple[int, int],
        generator: torch.Generator,
        shard: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
    ) -> None:
        """Start every chain at a draw from the prior.

        Args:
            trajectories: trajectories in the whole data set.
            plan_shape: `(N, D)` of `z0`.
            generator: source of the draws (CPU); every shard draws the same whole set.
            shard: (rank, world size); trajectory `i` belongs to rank `i % world size`.
            device: where they are kept; unset: the CPU.
        """
        self.trajectories, self.plan_shape, self.shard = trajectories, plan_shape, shard
        whole = torch.randn((trajectories, *plan_shape), generator=generator)
        self.states = whole[shard[0] :: shard[1]].clone().to(device)
        self.visits = torch.zeros(len(self.states), dtype=torch.int32, device=device)

    def rows(self, index: Tensor) -> Tensor:
        """Rows of this shard for trajectory numbers `[B]`.

        Raises:
            ValueError: if a trajectory belongs to another shard, or stands in the batch twice;
                numbers on an accelerator are taken as they are, since a look would wait for it.
        """
        rank, world = self.shard
        if index.device.type != "cpu":
            return (index // world).to(self.states.device)
        if bool((index % world != rank).any()):
            raise ValueError(f"trajectories {index.tolist()} are not all of shard {self.shard}")
        if len(index.unique()) != len(index):
            raise ValueError("a trajectory stands in the batch twice: its chain would be lost")
        return (index // world).to(self.states.device)

    def read(self, index: Tensor) -> Tensor:
        """States `[B, N, D]` of trajectories `[B]`."""
        return self.states[self.rows(index)]

    def write(self, index: Tensor, z0: Tensor) -> None:
        """Keep new states `[B, N, D]` of trajectories `[B]`."""
        rows = self.rows(index)
        self.states[rows] = z0.detach().to(self.states)
        self.visits[rows] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return this shard's states and visit counts with their trajectory numbers."""
        index = torch.arange(self.trajectories)[self.shard[0] :: self.shard[1]]
        return {"index": index, "states": self.states, "visits": self.visits}

    def gathered(self, ranks: Ranks) -> dict[str, Tensor]:
        """Return the state dict of all shards together; all processes must ask for it."""
        part, total = self.state_dict(), self.trajectories
        if ranks.count == 1 or total == 0:
            return part
        index = part["index"]
        visits = ranks.whole(part["visits"].float(), index, total)
        return {
            "index": torch.arange(total),
            "states": ranks.whole(part["states"], index, total),
            "visits": visits.to(part["visits"].dtype),
        }

    def load_state_dict(self, *shards: dict[str, Tensor]) -> None:
        """Take this shard's part of a whole set, given as the state dicts of all its shards.

        Raises:
            ValueError: if the parts do not cover the data set or have another plan shape.
        """
        index = torch.cat([part["index"] for part in shards])
        if not torch.equal(index.sort().values, torch.arange(self.trajectories)):
            raise ValueError(
                f"saved chains cover {len(index)} trajectories, the data set has "
                f"{self.trajectories}: resume with the data the run was started with"
            )
        order = index.argsort()[self.shard[0] :: self.shard[1]]
        states = torch.cat([part["states"] for part in shards])
        if states.shape[1:] != self.states.shape[1:]:
            raise ValueError(
                f"saved chains have plans of {tuple(states.shape[1:])}, the model of "
                f"{tuple(self.states.shape[1:])}: resume with the run's own model settings"
            )
        visits = torch.cat([part["visits"] for part in shards])
        self.states, self.visits = states[order].to(self.states), visits[order].to(self.visits)
