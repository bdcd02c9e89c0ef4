"""Probability of improvement, profiles and adjusted p against answers by hand."""

import numpy as np
import pytest

from lpt.reporting.comparison import (
    holm,
    improvement_interval,
    performance_profile,
    probability_of_improvement,
    profile_band,
)


def arrays(*values):
    return tuple(np.array(v, float) for v in values)


def test_probability_of_improvement_counts_pairs_and_half_of_ties():
    assert probability_of_improvement([arrays([1, 2, 3], [0, 0])]) == 1
    assert probability_of_improvement([arrays([0, 2], [1, 3])]) == 0.25
    assert probability_of_improvement([arrays([1, 1], [1])]) == 0.5
    tasks = [arrays([0, 2], [1, 3]), arrays([1], [0])]  # tasks weigh alike, whatever their runs
    assert probability_of_improvement(tasks) == (0.25 + 1) / 2


def test_its_interval_needs_runs():
    rng = np.random.default_rng(0)
    few, enough = rng.normal(size=(2, 5)), rng.normal(size=(2, 12))
    assert improvement_interval([tuple(few)]) == (None, None)
    assert improvement_interval([arrays([1, 2], [1, 2])] * 9) == (None, None)
    low, high = improvement_interval([tuple(enough)])
    assert 0 <= low < probability_of_improvement([tuple(enough)]) < high <= 1
    assert improvement_interval([tuple(few), tuple(few)])[0] is not None  # ten over two tasks
    assert improvement_interval([(np.arange(10.0) + 20, np.arange(10.0))]) == (1, 1)


def test_a_profile_is_the_share_of_runs_above():
    levels = np.array([-1.0, 0.0, 1.5, 3.0])
    tasks = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0])]
    expected = [(1 + 1) / 2, (0.75 + 1) / 2, (0.5 + 1) / 2, 0]  # above, not at
    assert performance_profile(tasks, levels).tolist() == expected
    assert profile_band(tasks, levels) is None
    low, high = profile_band([tasks[0], tasks[0]], levels)
    share = performance_profile([tasks[0]], levels)
    assert (low <= share).all() and (share <= high).all() and low[0] == high[0] == 1


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1] and holm([]) == []
