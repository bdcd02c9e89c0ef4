"""What can be trained: the latent plan model, and the baselines it is compared with.

Lives here: one object for each algorithm, which says what it learns from, how it plans and what
its environment shows. Not here: how it is trained or evaluated, which is the same for all.
"""

from lpt.algorithms.algorithm import Algorithm, Inference
from lpt.algorithms.table import ALGORITHMS, find_algorithm

__all__ = ["ALGORITHMS", "Algorithm", "Inference", "find_algorithm"]
