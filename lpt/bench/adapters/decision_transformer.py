"""Hugging Face's DecisionTransformerModel (Chen et al., 2021) for `lpt-bench speed --against`.

Depth, heads and width are those of the model here; three tokens a step and a context of K = 20
steps are the method's own. An update reads as many windows of K steps as this toolkit reads
segments, one of each trajectory where that reads them whole, and scores every step of a window.
It makes no plans.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lpt.bench.problem import Shapes, Trajectories

try:
    from transformers import DecisionTransformerConfig, DecisionTransformerModel
except ImportError as error:
    raise ImportError(
        f"{error}: this adapter needs Hugging Face's transformers, pip install 'lpt-toolkit[bench]'"
    ) from error

CONTEXT = 20
"""K, environment steps of a window."""


class Peer:
    """Model, optimizer, and the last K steps of the episodes that run."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes, self.context = shapes, min(CONTEXT, shapes.horizon)
        config = DecisionTransformerConfig(
            state_dim=shapes.observation_dim,
            act_dim=shapes.action_dim,
            max_ep_len=shapes.horizon,
            hidden_size=shapes.width,
            n_layer=shapes.layers,
            n_head=shapes.heads,
            n_positions=3 * CONTEXT,
            action_tanh=not shapes.discrete,
            bos_token_id=None,
            eos_token_id=None,
        )
        model: torch.nn.Module = DecisionTransformerModel(config)
        self.model = model.to(shapes.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=1e-4)
        self.history: dict[str, Tensor] = {}

    def predict(self, **steps: Tensor) -> Tensor:
        """Return action outputs `[n, K, act]` of steps `[n, K, ...]`."""
        mask = torch.ones(steps["timesteps"].shape, device=self.shapes.device)
        return self.model(attention_mask=mask, **steps).action_preds

    def one_hot(self, actions: Tensor) -> Tensor:
        """Actions as the model reads them."""
        return (
            F.one_hot(actions, self.shapes.action_dim).float() if self.shapes.discrete else actions
        )


def build(shapes: Shapes) -> Peer:
    """Build model and optimizer."""
    return Peer(shapes)


def train_step(peer: Peer, batch: Trajectories) -> int:
    """One update on random windows; returns the steps in them, which are all scored."""
    shapes, length = peer.shapes, peer.context
    rows = torch.arange(len(batch.rewards)).repeat_interleave(max(1, shapes.segments))[:, None]
    start = torch.randint(shapes.horizon - length + 1, rows.shape)
    steps = (start + torch.arange(length)).to(shapes.device)
    rows = rows.to(shapes.device)
    actions = batch.actions[rows, steps]
    predicted = peer.predict(
        states=batch.observations[rows, steps],
        actions=peer.one_hot(actions),
        returns_to_go=batch.returns_to_go[rows, steps][..., None],
        timesteps=steps,
    )
    if shapes.discrete:
        loss = F.cross_entropy(predicted.flatten(0, 1), actions.flatten())
    else:
        loss = F.mse_loss(predicted, actions)
    peer.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(peer.model.parameters(), 0.25)
    peer.optimizer.step()
    return steps.numel()


def reset(peer: Peer, n: int) -> None:
    """Forgets all episodes."""
    peer.history = {}


@torch.inference_mode()
def act(peer: Peer, observations: np.ndarray) -> np.ndarray:
    """Next actions; the whole window is read again at every step, as the method does."""
    shapes, n = peer.shapes, len(observations)
    device, past = shapes.device, peer.history
    now: dict[str, Any] = {
        "states": torch.as_tensor(observations, device=device)[:, None],
        "actions": torch.zeros(n, 1, shapes.action_dim, device=device),
        "returns_to_go": torch.ones(n, 1, 1, device=device),
        "timesteps": torch.zeros(n, 1, dtype=torch.long, device=device),
    }
    if past:
        now["timesteps"] = (past["timesteps"][:, -1:] + 1).clamp(max=shapes.horizon - 1)
        now = {key: torch.cat((past[key], now[key]), 1)[:, -peer.context :] for key in now}
    peer.model.eval()
    output = peer.predict(**now)[:, -1]
    peer.model.train()
    actions = output.argmax(-1) if shapes.discrete else output
    now["actions"] = now["actions"].clone()
    now["actions"][:, -1] = peer.one_hot(actions)
    peer.history = now
    return actions.cpu().numpy()
