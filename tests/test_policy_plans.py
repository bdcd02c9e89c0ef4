"""What an evaluation says of its plans."""

import pytest

from lpt.evaluation import evaluate


def test_a_target_that_no_plan_knows_of_is_said_to_be_one(make_evaluation):
    plans = {"predicted_return": 140.0, "highest": 150.0, "spread": 5.0, "effective_plans": 2.0}
    assert make_evaluation([1.0], plans=plans, target=155.0).complaint is None
    said = make_evaluation([1.0], plans=plans, target=156.0).complaint
    assert said.startswith("target 156 is beyond what any plan inferred in learning predicts (150")
    assert make_evaluation([1.0], target=1e9).complaint is None  # nothing to compare with


def test_a_training_seed_is_evaluated_on_resets_of_its_own(make_config):
    seeds = [make_config(seed=seed).evaluation_seed for seed in range(3)]
    assert seeds == [1000, 11000, 21000]
    assert make_config(seed=2, evaluation={"seed": 7}).evaluation_seed == 20007


@pytest.mark.parametrize("seed", [None, 5])
def test_an_evaluations_seed_is_the_runs_unless_given(make_policy, seed):
    policy = make_policy()
    found = evaluate(policy, episodes=1, seed=seed).seed
    assert found == (policy.metadata.config.evaluation_seed if seed is None else seed)
