"""How near plans are to kept ones: on grids, where every distance is known, and in evaluations."""

from dataclasses import asdict

import pytest
import torch

from lpt.config import PlanningConfig
from lpt.evaluation import LPTPolicy, evaluate
from lpt.inference import nearness as module
from lpt.inference.nearness import nearness, nearness_to_kept
from lpt.inference.planning import Plan
from lpt.reporting.results import evaluation_record

GRID = 3.0 * torch.cartesian_prod(*[torch.arange(4.0)] * 2)[:, None]
"""16 plans `[1, 2]`, each 3 from its nearest."""


def test_distances_are_in_units_of_the_usual_one_among_kept_plans():
    plans = torch.tensor([[[3.0, 6.0]], [[-3.0, 0.0]], [[4.5, 4.5]], [[0.0, -300.0]]])
    found = nearness(plans, GRID)
    assert found.nearest.tolist() == pytest.approx([0.0, 1.0, 0.5**0.5, 100.0], abs=1e-3)
    assert float(found.remote) == pytest.approx(1.0, abs=1e-3)
    alone = torch.cat((GRID, torch.tensor([[[9.0, 21.0]]])))  # 12 from its nearest, 1 of 17
    expected = 1 + 0.84 * (4 - 1)  # the quantile's place is 0.99 * 16 = 15 and 0.84
    assert float(nearness(plans, alone).remote) == pytest.approx(expected, abs=1e-3)


def test_some_kept_plans_tell_what_is_usual_and_all_what_is_near(monkeypatch):
    monkeypatch.setattr(module, "SOME", 3)
    found = nearness(GRID, GRID)
    assert found.nearest == pytest.approx(torch.zeros(16), abs=1e-3)
    assert float(found.remote) == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(found.nearest, nearness(GRID, GRID).nearest)


@pytest.mark.parametrize("kept", [GRID[:1], GRID[5:6].expand(9, 1, 2), torch.zeros(9, 1, 2)])
def test_among_equal_plans_nothing_is_usual(kept):
    assert nearness(GRID, kept) is None


def test_a_mean_of_kept_plans_in_many_dimensions_is_nearer_than_they_are():
    """They are sqrt(2 D) from one another and sqrt(D) from their mean."""
    kept = torch.randn(4000, 2, 64, generator=torch.Generator().manual_seed(0))
    mean = kept.mean(0, keepdim=True)
    assert 0.68 < float(nearness(mean, kept).nearest) < 0.85
    assert 2.2 < float(nearness(mean + 3.0, kept).nearest)


def test_plans_are_compared_as_the_generator_reads_them(make_model):
    """Twice a plan is the same plan to it, but for the norm's smallest term."""
    model = make_model(prior_width=0, remembered_plans=64)
    kept = torch.randn(64, *model.plan_shape, generator=torch.Generator().manual_seed(0))
    model.remembered.add(kept)
    assert nearness_to_kept(model, 2 * kept[:5]).nearest.max() < 0.01
    assert nearness_to_kept(model, kept.flip(-1)).nearest.min() > 0.2


@pytest.mark.parametrize("remembered", [0, 8])
def test_a_model_without_kept_plans_says_nothing_of_it(make_policy, remembered):
    policy = make_policy(model={"remembered_plans": remembered})
    assert policy.describe(policy.plan(n=2)).keys() == {"predicted_return"}


@pytest.fixture
def policy(make_policy_model, make_metadata):
    """A policy that keeps plans of one direction, and plans by choosing among them."""
    model = make_policy_model(prior_width=0, remembered_plans=32)
    noise = torch.randn(32, *model.plan_shape, generator=torch.Generator().manual_seed(0))
    model.remembered.add(10 * torch.linspace(-1, 1, model.plan_shape[1]) + noise)
    metadata = make_metadata(config={"model": asdict(model.config)})
    return LPTPolicy(model, metadata, planning=PlanningConfig(method="aggregated"), target=6.5)


def test_kept_plans_are_at_distance_zero_and_others_are_not(policy):
    found = policy.describe(policy.plan(n=5))
    assert found["nearest"] < 0.01 and found["remote"] >= 1
    strange = -policy.plan(n=5).z
    found = policy.describe(Plan(strange, strange, torch.zeros(5)))
    assert found["nearest"] > 2 * found["remote"] and "effective_plans" not in found


def test_results_tell_how_near_plans_are_and_one_line_warns_of_strange_ones(policy, corridor):
    near = evaluate(policy, corridor, episodes=2)
    assert evaluation_record(near)["nearest"] == near.plans["nearest"] < 0.01
    policy.planning = PlanningConfig(method="langevin", steps=2)  # under N(0, I)
    far = evaluate(policy, corridor, episodes=2)
    assert far.complaint.startswith(f"plans for target {far.target:g} are ")
    assert "planning.method=aggregated" in far.complaint and near.complaint is None
