"""Latent Plan Transformer: offline-RL planning as posterior inference of a latent plan."""

__version__ = "0.1.0"
