"""The networks: latent plan transformer, prompted baselines, and what they are built of.

Lives here: functions of tensors, in the paper's notation. Not here: data, samplers, training,
and whatever decides when a network is called.
"""

from lpt.model.actions import ActionDistribution, Categorical
from lpt.model.generator import PromptedTransformer, RolloutCache
from lpt.model.goal import GoalTransformer
from lpt.model.latent_plan import LatentPlanTransformer
from lpt.model.prompted import ConditionedTransformer
from lpt.model.spaces import Spaces

Model = LatentPlanTransformer | ConditionedTransformer
"""What a run trains and a policy acts with."""

__all__ = [
    "ActionDistribution",
    "Categorical",
    "ConditionedTransformer",
    "GoalTransformer",
    "LatentPlanTransformer",
    "Model",
    "PromptedTransformer",
    "RolloutCache",
    "Spaces",
]
