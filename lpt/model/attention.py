"""Banded causal attention, cross-attention to the plan, and the rolling cache of a rollout.

Shape legend: `B` batch, `T` time, `D` width, `H` heads, `d = D / H`, `N` plan tokens.

A layer with window `w` lets step `t` see steps `t-w+1 .. t`. Stacked layers see further:
`n` layers of windows `w_1 .. w_n` see `1 + sum(w_i - 1)` steps. `layer_windows` shares
a context of `K` steps among the layers so that this total is exactly `K`, which makes the
factorisation `p(a_t | s_{t-K+1:t}, ...)` exact, and makes training on a segment with `K - 1`
steps of burn-in, training on a whole trajectory, and a rolling cache of `w_i` steps the same
function of the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer_windows(context: int, layers: int) -> list[int]:
    """Windows of the layers, such that together they see exactly `context` steps.

    Args:
        context: `K`, environment steps that may influence an action, at least 1.
        layers: number of self-attention layers, at least 1.

    Returns:
        `layers` window lengths, each >= 1, with `1 + sum(w - 1) == context`.
    """
    share, extra = divmod(context - 1, layers)
    return [1 + share + (layer < extra) for layer in range(layers)]


def angles(steps: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[steps, half]` of the rotations of steps 0 ... steps - 1, float32."""
    if torch.compiler.is_compiling():  # it warns of caches, and needs none
        return _new_angles(steps, half, device)
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():  # a graph keeps its own
        return _new_angles(steps, half, device)
    return _kept_angles(steps, half, device)


def _new_angles(steps: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    frequency = 10000.0 ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angle = torch.arange(steps, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


@lru_cache(maxsize=64)
def _kept_angles(steps: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.no_grad():  # kept for learning and acting alike
        return _new_angles(steps, half, device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, dim: int = -1) -> Tensor:
    """Rotary position embedding (Su et al., 2021); scores depend on position differences only.

    Args:
        x: `[..., T, d]` queries or keys, `d` even; `[..., d, T]` if `dim` is -2.
        cos: cosines of the angles, `[T, d / 2]` or `[d / 2, T]`.
        sin: their sines.
        dim: where `d` is, -1 or -2.

    Returns:
        As `x`.
    """
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim)


def band_mask(queries: int, keys: int, window: int, device: torch.device) -> Tensor:
    """Return the boolean band `[queries, keys]`; the last query sits on the last key."""
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    return (key <= query) & (key > query - window)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of `[..., T, d]` over `[..., S, d]`, within `mask` `[..., T, S]`.

    Written out on a CPU, whose fused kernel is slower for the few keys that a band or a plan has.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ v


def banded_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Causal attention within a band, at a cost of `O(T window)` for long sequences.

    The sequence is cut into blocks of `window` steps; the band of a block's queries lies in that
    block and the one before it, so attending to those two is exact.

    Args:
        q: `[B, H, T, d]` rotated queries.
        k: `[B, H, T, d]` rotated keys.
        v: `[B, H, T, d]` values.
        window: steps each query sees, itself included.

    Returns:
        `[B, H, T, d]`.
    """
    if window == 1:
        return v
    batch, heads, time, width = q.shape
    block = max(window - 1, 16)
    if time <= 2 * block:
        mask = band_mask(time, time, window, q.device)
        return attend(q, k, v, mask)
    blocks = -(-time // block)
    tail = blocks * block - time
    q = F.pad(q, (0, 0, 0, tail)).view(batch, heads, blocks, block, width)

    def with_block_before(x: Tensor) -> Tensor:  # [B, H, blocks, 2 * block, d]
        x = F.pad(x, (0, 0, block, tail)).view(batch, heads, blocks + 1, block, width)
        return torch.cat((x[:, :, :-1], x[:, :, 1:]), dim=3)

    mask = band_mask(block, 2 * block, window, q.device).repeat(blocks, 1, 1)
    mask[0, :, :block] = False  # before the first block there are no steps, only padding
    out = attend(q, with_block_before(k), with_block_before(v), mask)
    return out.reshape(batch, heads, blocks * block, width)[:, :, :time]


NEIGHBORS = 5
"""Largest window for `neighbor_attention`; wider ones cost it more memory than blocks."""


def neighbor_attention(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, window: int) -> Tensor:
    """Causal attention within a narrow band, one earlier neighbor after the other.

    Matrix products of a few rows each, many of their scores masked, waste a CPU; here all steps of
    all sequences lie along the last axis and every operation runs over the whole of it.

    Args:
        q: `[H, d, S]` rotated queries of S steps, sequence after sequence.
        k: `[H, d, S]` rotated keys.
        v: `[H, d, S]` values.
        positions: `[S]` number of each step in its own sequence.
        window: steps each query sees, itself included.

    Returns:
        `[H, d, S]`.
    """
    back = torch.arange(window, device=q.device)[:, None]
    keys, values = ([x] + [x.roll(j, -1) for j in range(1, window)] for x in (k, v))
    scores = torch.stack([(q * key).sum(1) for key in keys]) * q.shape[1] ** -0.5  # [w, H, S]
    outside = (back > positions)[:, None]
    weights = scores.masked_fill(outside, -torch.inf).softmax(0)
    out = weights[0, :, None] * v
    for weight, value in zip(weights[1:], values[1:], strict=True):
        out = torch.addcmul(out, weight[:, None], value)
    return out


@dataclass
class StepCache:
    """The last `window` keys and values of one self-attention layer, for `B` episodes.

    Keys are kept unrotated and rotated by their place in the window, so positions never grow and
    the ten-thousandth step is computed as exactly as the first.
    """

    keys: Tensor
    """`[B, H, window, d]`, the oldest first."""
    values: Tensor
    """`[B, H, window, d]`."""

    def push(self, key: Tensor, value: Tensor) -> None:
        """Append one step `[B, H, 1, d]` and drop the oldest."""
        self.keys = torch.cat((self.keys[:, :, 1:], key), dim=2)
        self.values = torch.cat((self.values[:, :, 1:], value), dim=2)


class BandedSelfAttention(nn.Module):
    """Multi-head causal self-attention over the last `window` steps, rotary positions."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, time, width = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, d]
        return q, k, v

    def _alone(self, x: Tensor) -> Tensor:
        """Return what a window of one gives: every step sees its own value, whatever its scores.

        The rows of queries and keys stay in the weights, which have one shape for any window.
        """
        rows = slice(2 * x.shape[-1], None)
        return self.out(F.linear(x, self.qkv.weight[rows], self.qkv.bias[rows]))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, D] -> [B, T, D]` over whole sequences."""
        if self.window == 1:
            return self._alone(x)
        if self.window <= NEIGHBORS and x.device.type == "cpu":
            return self._among_neighbors(x)
        q, k, v = self._project(x)
        cos, sin = angles(x.shape[1], q.shape[-1] // 2, x.device)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = banded_attention(q, k, v, self.window)
        return self.out(y.transpose(1, 2).reshape(x.shape))

    def _among_neighbors(self, x: Tensor) -> Tensor:
        """Return the same, steps along the last axis."""
        batch, time, width = x.shape
        steps = x.reshape(batch * time, width)
        qkv = F.linear(self.qkv.weight, steps)  # [3 D, B T]
        qkv = qkv + self.qkv.bias[:, None].to(qkv.dtype)
        q, k, v = qkv.view(3, self.heads, width // self.heads, batch * time)
        positions = torch.arange(time, device=x.device).repeat(batch)
        turns = angles(time, q.shape[1] // 2, x.device)
        cos, sin = (part.t().repeat(1, batch) for part in turns)
        q, k = rotate(q, cos, sin, dim=-2), rotate(k, cos, sin, dim=-2)
        y = neighbor_attention(q, k, v, positions, self.window)
        return self.out(y.view(width, batch * time).t()).view(x.shape)

    def cache(self, batch: int) -> StepCache:
        """Return an empty cache for `batch` episodes."""
        shape = batch, self.heads, self.window, self.out.in_features // self.heads
        return StepCache(self.out.weight.new_zeros(shape), self.out.weight.new_zeros(shape))

    def step(self, x: Tensor, cache: StepCache, age: Tensor) -> Tensor:
        """One step `[B, 1, D] -> [B, 1, D]`; `age` `[B]`: the episode's steps before it."""
        if self.window == 1:
            return self._alone(x)
        q, k, v = self._project(x)
        cache.push(k, v)
        back = torch.arange(self.window - 1, -1, -1, device=x.device)  # each slot's age
        mask = (back[None, :] <= age[:, None])[:, None, None, :]  # [B, 1, 1, window]
        cos, sin = angles(self.window, q.shape[-1] // 2, x.device)
        q, keys = rotate(q, cos[-1:], sin[-1:]), rotate(cache.keys, cos, sin)
        y = attend(q, keys, cache.values, mask)
        return self.out(y.transpose(1, 2).reshape(x.shape))


@dataclass(frozen=True)
class PlanMemory:
    """What a layer keeps of the plans of `B` trajectories."""

    keys: Tensor
    """`[B, H, N, d]`."""
    values: Tensor
    """`[B, H, N, d]`."""


class PlanAttention(nn.Module):
    """Multi-head cross-attention from steps to the `N` plan tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def project(self, plan: Tensor) -> PlanMemory:
        """Keys and values of plans `[B, N, D]`, computed once an episode."""
        batch, tokens, width = plan.shape
        kv = self.key_value(plan).view(batch, tokens, 2, self.heads, width // self.heads)
        keys, values = kv.permute(2, 0, 3, 1, 4)
        return PlanMemory(keys, values)

    def forward(self, x: Tensor, plan: PlanMemory) -> Tensor:
        """`[B, T, D]` steps attend to the plan of their row; returns `[B, T, D]`."""
        batch, time, width = x.shape
        q = self.query(x).view(batch, time, self.heads, width // self.heads).transpose(1, 2)
        y = attend(q, plan.keys, plan.values)
        return self.out(y.transpose(1, 2).reshape(x.shape))
