"""Policies at work: acting, rolling out in environments, filming.

Lives here: what needs an environment or stands in somebody's loop. Not here: training, statistics
of results, tables and figures.
"""

from lpt.algorithms.return_to_go import ReturnToGo
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import Evaluation, evaluate
from lpt.evaluation.state import PolicyState
from lpt.evaluation.vector import EpisodeStarts

__all__ = ["EpisodeStarts", "Evaluation", "LPTPolicy", "PolicyState", "ReturnToGo", "evaluate"]
