"""Training: one update at a time, and a whole run with its folder, log and results.

Lives here: what changes weights, and when it is saved, logged and evaluated. Not here: models,
inference, rollouts and statistics, which it only calls.
"""

from lpt.training.opening import resume, start, train
from lpt.training.run import Run
from lpt.training.trainer import Trainer

__all__ = ["Run", "Trainer", "resume", "start", "train"]
