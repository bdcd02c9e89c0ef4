"""`U_alpha`: the 1-D U-Net that turns prior noise into a latent plan.

It runs over the flattened plan (`N * D` positions, one channel in and out), as in the paper
(width 16, multipliers 1-2-4-8). Its last convolution starts at zero and its output is added to its
input, so the prior starts as `z = z0` and learning bends it from there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two normalized 3-tap convolutions with a shortcut, `[B, C_in, L] -> [B, C_out, L]`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(4, channels_in)
        self.conv_in = nn.Conv1d(channels_in, channels_out, 3, padding=1)
        self.norm_out = nn.GroupNorm(4, channels_out)
        self.conv_out = nn.Conv1d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C_in, L] -> [B, C_out, L]`."""
        hidden = self.conv_in(F.silu(self.norm_in(x)))
        return self.shortcut(x) + self.conv_out(F.silu(self.norm_out(hidden)))


class UNetPrior(nn.Module):
    """`z = z0 + U(z0)`; with `width` 0 the identity (a plain normal prior)."""

    def __init__(self, width: int, multipliers: tuple[int, ...]) -> None:
        """Build the network.

        Args:
            width: channels of the first level, a multiple of 4, or 0 for no network.
            multipliers: channels of each level as multiples of `width`; every level after the
                first halves the length.

        Raises:
            ValueError: if `width` is not a multiple of 4.
        """
        super().__init__()
        self.width = width
        if width == 0:
            return
        if width % 4:
            raise ValueError(
                f"model.prior_width={width} must be 0 or a multiple of 4 (norm groups)"
            )
        channels = [width * m for m in multipliers]
        self.stem = nn.Conv1d(1, channels[0], 3, padding=1)
        self.down = nn.ModuleList(
            ResidualBlock(c_in, c_out)
            for c_in, c_out in zip([channels[0], *channels[:-1]], channels, strict=True)
        )
        self.middle = ResidualBlock(channels[-1], channels[-1])
        self.up = nn.ModuleList(
            ResidualBlock(c_deep + c_skip, c_skip)
            for c_deep, c_skip in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.out = nn.Conv1d(channels[0], 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, z0: Tensor) -> Tensor:
        """`[B, N, D]` noise to `[B, N, D]` plan."""
        if self.width == 0:
            return z0
        x = self.stem(z0.flatten(1).unsqueeze(1))  # [B, C, N * D]
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.avg_pool1d(x, 2, ceil_mode=True))
            skips.append(x)
        x = self.middle(skips.pop())
        for block in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-1])
            x = block(torch.cat((x, skip), dim=1))
        return z0 + self.out(x).view(z0.shape)
