"""Intervals of means against known answers: what each number of seeds allows to say."""

import math

import numpy as np
import pytest

from lpt.reporting.intervals import Run, differences, mean_of, sharing
from lpt.reporting.statistics import bootstrap_interval
from lpt.reporting.student import t_quantile, t_within

QUANTILES = {1: 12.7062047, 2: 4.3026527, 3: 3.1824463, 4: 2.7764451, 9: 2.2621572, 30: 2.0422725}
"""0.975 quantiles of Student's t, from the usual tables."""


def run(seed, values, first_reset=None):
    first = 1000 + 10_000 * seed if first_reset is None else first_reset
    return Run(seed=seed, first_reset=first, values=np.asarray(values, float))


@pytest.mark.parametrize(("df", "expected"), QUANTILES.items())
def test_t_quantiles_are_those_of_the_tables(df, expected):
    assert t_quantile(df) == pytest.approx(expected, abs=1e-6)
    assert t_within(expected, df) == pytest.approx(0.95, abs=1e-8)


def test_t_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    for df in (*range(1, 31), 99, 500, 999):
        assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)
        for t in (0.0, 0.3, 2.5, 10.0):
            assert t_within(t, df) == pytest.approx(1 - 2 * stats.t.sf(t, df), abs=1e-12)


@pytest.mark.parametrize(
    "wrong", [lambda: t_within(-1, 3), lambda: t_within(1, 0), lambda: t_quantile(3, 1.0)]
)
def test_t_refuses_what_it_is_not_defined_for(wrong):
    with pytest.raises(ValueError, match="must"):
        wrong()


def test_three_to_nine_seeds_have_a_t_interval_over_their_means():
    mean = mean_of([run(0, [0, 2]), run(1, [2, 2]), run(2, [3, 3])])  # means 1, 2, 3
    half = 4.3026527 / math.sqrt(3)
    assert mean.value == 2 and mean.interval.method == "t over seeds"
    assert (mean.interval.low, mean.interval.high) == pytest.approx((2 - half, 2 + half))
    assert mean.p == pytest.approx(0.0741799, abs=1e-6)  # t = 2 sqrt(3), 2 degrees of freedom
    assert mean.interval.text(1) == "[-0.5, 4.5]"


def test_one_seed_has_an_interval_of_its_episodes_that_says_so():
    values = np.random.default_rng(0).normal(size=50)
    mean = mean_of([run(0, values)])
    assert (mean.interval.low, mean.interval.high) == bootstrap_interval(values)
    assert mean.interval.text(2).endswith("] episodes only") and mean.p is None
    assert "one training seed" in mean.interval.method


def test_two_seeds_have_none():
    mean = mean_of([run(0, [1.0, 2.0]), run(1, [3.0, 4.0])])
    assert mean.value == 2.5 and mean.interval.low is None and mean.p is None
    assert mean.interval.text(1) == "none (two seeds)"


def test_many_seeds_are_resampled_with_their_episodes():
    rng = np.random.default_rng(0)
    runs = [
        run(seed, rng.normal(level, 1, size=20)) for seed, level in enumerate(rng.normal(size=12))
    ]
    mean = mean_of(runs)
    ends = bootstrap_interval([one.values for one in runs])
    assert (mean.interval.low, mean.interval.high) == ends
    assert "hierarchical" in mean.interval.method


def test_seeds_that_share_episodes_share_their_luck():
    luck = np.random.default_rng(0).normal(size=400)
    runs = [run(seed, luck + 0.01 * seed, first_reset=1000) for seed in range(3)]
    assert sharing(runs) == [0, 1, 2]
    mean = mean_of(runs)
    seeds, episodes = 4.3026527 * 0.01 / math.sqrt(3), 1.959964 * luck.std(ddof=1) / 20
    half = math.hypot(seeds, episodes)
    assert mean.interval.high - mean.value == pytest.approx(half, rel=1e-6)
    apart = mean_of([run(seed, luck + 0.01 * seed) for seed in range(3)])
    assert half > 3 * (apart.interval.high - apart.value)  # what seeds alone would have claimed


def test_p_is_the_level_at_which_the_interval_reaches_zero():
    luck = np.random.default_rng(1).normal(1, 4, size=100)
    runs = [run(seed, luck + shift, first_reset=0) for seed, shift in enumerate((0.2, 0.0, -0.1))]
    mean = mean_of(runs)
    shifted = [run(r.seed, r.values - mean.interval.low, first_reset=0) for r in runs]
    assert mean_of(shifted).p == pytest.approx(0.05, rel=1e-6)


def test_resets_that_only_touch_are_not_shared():
    runs = [run(0, [1, 2], first_reset=10), run(1, [1, 2], first_reset=12)]
    assert sharing(runs) == []
    assert sharing([*runs, run(2, [5], first_reset=13)]) == [1, 2]


def test_differences_are_of_the_same_seed_and_reset():
    one = [run(0, [5, 6, 7], first_reset=10), run(1, [9], first_reset=20)]
    two = [run(0, [1, 1], first_reset=11), run(2, [0])]
    (found,) = differences(one, two)
    assert (found.seed, found.first_reset, found.values.tolist()) == (0, 11, [5, 6])
    assert differences(one, [run(0, [1], first_reset=99)]) == []
