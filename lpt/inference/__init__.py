"""Inference of latent plans: samplers, posterior engines while learning, planning before acting.

Lives here: everything that moves `z0`. Samplers know an energy, never a network; engines and
planning build energies from a model. Not here: when a plan is inferred, or what it is used for.
"""

from lpt.inference.planning import Plan, infer_plans

__all__ = ["Plan", "infer_plans"]
