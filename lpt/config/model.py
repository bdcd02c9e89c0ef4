"""What is learned: `model` and `proposal`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lpt.config.checks import SettingError, check_choice, check_most, check_positive

Algorithm = Literal["lpt", "bc", "bc-10", "dt-final", "dt", "goal"]
"""What is learned: the latent plan model, or a baseline (`lpt.algorithms`)."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and likelihoods of the model."""

    layers: int = 2
    """Transformer blocks."""
    heads: int = 4
    """Attention heads of every block."""
    width: int = 64
    """Model width D, also of each plan token."""
    context: int = 16
    """K: environment steps that may influence an action, through all layers together."""
    inputs: Literal["states", "states-and-actions"] = "states-and-actions"
    """What a step's token holds: its state, or also the action before it (the paper's). With that
    action a policy can go on with whatever it was doing, which leaves the plan little to say."""
    frequencies: int = 0
    """Wavelengths 4, 2, 1, ... standard deviations at which the token also sees sines and cosines
    of the standardized state, so that actions may change over short distances; 0: none."""
    frequency_dims: tuple[int, ...] = ()
    """Coordinates of the state that these are taken of, counted from 0; none given: all."""
    plan_tokens: int = 4
    """N: tokens of the latent plan."""
    dropout: float = 0.0
    """Dropout in the blocks while learning; never in chains, planning or rollouts."""
    likelihood: Literal["auto", "gaussian", "censored", "categorical"] = "auto"
    """Action likelihood; 'auto' is categorical where the data's actions are discrete, else
    gaussian; 'censored' is a Gaussian clipped to the action bounds."""
    action_std: float = 0.5
    """sigma_a in action units (continuous actions)."""
    return_std: float = 1.0
    """sigma_y in units of the returns' standard deviation: the dial between luck and skill."""
    return_hidden: int = 100
    """Hidden units in each of the return predictor's two layers."""
    prior_width: int = 16
    """Channels of the U-Net's first level; 0 takes z = z0 (the paper's ablation)."""
    prior_multipliers: tuple[int, ...] = (1, 2, 4, 8)
    """Channel multipliers of the U-Net's levels."""
    remembered_plans: int = 0
    """Newest plans inferred in learning that the model keeps, for planning.method=aggregated."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be built."""
        check_most("model", self)
        check_positive("model", self, ("heads", "width"))
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise SettingError(
                f"model.width={self.width} must be an even multiple of model.heads={self.heads}: "
                "rotary positions turn pairs of each head's channels"
            )
        sizes = ("layers", "context", "plan_tokens", "return_hidden", "action_std", "return_std")
        check_positive("model", self, sizes)
        for name in ("remembered_plans", "frequencies", "prior_width"):
            if getattr(self, name) < 0:
                raise SettingError(f"model.{name}={getattr(self, name)} must be 0 or more")
        if not 0 <= self.dropout <= 1:
            raise SettingError(f"model.dropout={self.dropout} must lie in [0, 1]")
        levels = self.prior_multipliers
        if not 1 <= len(levels) <= 16 or not all(1 <= level <= 1024 for level in levels):
            raise SettingError(
                f"model.prior_multipliers={list(levels)[:20]} must be 1 to 16 numbers, each 1 to "
                "1024"
            )
        check_choice("model.inputs", self.inputs, ("states", "states-and-actions"))
        self._check_frequency_dims()

    def _check_frequency_dims(self) -> None:
        dims = self.frequency_dims
        if dims and not self.frequencies:
            raise SettingError(
                f"model.frequency_dims={list(dims)} needs model.frequencies above 0: set it, or "
                "leave model.frequency_dims empty"
            )
        if len(set(dims)) < len(dims) or any(dim < 0 for dim in dims):
            raise SettingError(
                f"model.frequency_dims={list(dims)} must be different coordinates, counted from 0"
            )

    @property
    def discrete(self) -> bool | None:
        """Whether the likelihood is of discrete actions; None where the data decide."""
        return None if self.likelihood == "auto" else self.likelihood == "categorical"

    def fitted(self, discrete: bool) -> ModelConfig:
        """Return the settings with the likelihood that the data's actions decide."""
        if self.likelihood != "auto":
            return self
        return replace(self, likelihood="categorical" if discrete else "gaussian")


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """Sizes of the proposal network."""

    steps: int = 24
    """Steps of the overview it reads, spread evenly over what it may see."""
    view: Literal["whole", "end"] = "whole"
    """'end': it sees the trajectory only from a random step on, and so do chains that have a batch
    of their own. A plan inferred without the start cannot depend on it, and so serves other starts
    too (stitching)."""
    reads_return: bool = True
    """Whether it sees y. A return that also tells the start (through the length) would let it in
    again where the view is 'end'."""
    width: int = 64
    """Model width."""
    layers: int = 2
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be built."""
        check_most("proposal", self)
        check_positive("proposal", self, ("steps", "width", "layers", "heads"))
        if self.width % self.heads:
            raise SettingError(
                f"proposal.width={self.width} must be a multiple of proposal.heads={self.heads}"
            )
