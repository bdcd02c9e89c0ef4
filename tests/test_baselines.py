"""Baselines share LPT's road, differ in the prompt only, and show what the plan is for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.config import PlanningConfig, SamplerConfig
from lpt.data import TrajectoryDataset
from lpt.evaluation.policy import LPTPolicy
from lpt.model.latent_plan import LatentPlanTransformer
from lpt.model.prompted import ConditionedTransformer
from lpt.model.spaces import Spaces
from lpt.training.run import Run
from lpt.training.trainer import Trainer

BASELINES = ("bc", "bc-10", "dt-final", "dt", "goal")


@pytest.fixture(scope="module")
def gamble() -> TrajectoryDataset:
    """400 trajectories of 4 steps: the safe player (0) earns 0.5, the gambler (1) +1 or -1.

    Half of the players gamble, half of the gambles are won. So P(gambler | y = 1) = 1, while the
    gambler's mean return is 0: asking for the highest return seen asks for the worse player.
    """
    players = np.tile([0, 1], 200)
    won = np.repeat([1.0, -1.0], 200)
    rewards = np.zeros((400, 4))
    rewards[:, -1] = np.where(players == 1, won, 0.5)
    return TrajectoryDataset.from_offsets(
        np.zeros((1600, 2)) + np.random.default_rng(0).normal(size=(1600, 2)),
        np.repeat(players, 4),
        rewards.ravel(),
        np.arange(0, 1601, 4),
        discrete=True,
    )


@pytest.fixture
def trained_policy(train):
    """`trained_policy(config, data)`: the policy of a run of 100 updates, asked for 1."""

    def make(config, data):
        trainer = train(config, data, 100)
        metadata = Run.metadata(_Like(config, trainer))
        return LPTPolicy(trainer.policy_model, metadata, config.planning, 1.0)

    return make


class _Like:
    """What `Run.metadata` reads of a run, without its folder."""

    def __init__(self, config, trainer) -> None:
        self.config, self.trainer, self.env_id = config, trainer, None


@pytest.fixture
def gamble_config(make_config):
    return make_config(
        model={"likelihood": "categorical", "prior_width": 0, "return_std": 0.1, "layers": 1},
        sampler={"batch_trajectories": 32, "segments": 0},
        posterior={
            "prior_weight": 0.1,
            "prior_start": 1.0,
            "prior_warmup": 0,
            "return_weight": 0.001,
        },
        planning=PlanningConfig(sample=True),
        updates=100,
        training={"average": 0.8, "learning_rate": 6e-3},
    )


def gambles(policy, target):
    """The probability of the gamble at the first step, mean over 64 plans."""
    state = policy.begin(policy.plan(target, 64).z)
    return float(policy.probabilities(np.zeros((64, 2)), state)[:, 1].mean())


def test_the_return_as_a_prompt_asks_for_luck_and_the_plan_for_skill(
    gamble, gamble_config, trained_policy
):
    """For y = 1 the prompt imitates the lucky gambler; the plan plays safe, as its mean is higher.

    The exact answers of Bayes' rule for the prompt are P(gamble | y = 1, 0.5, -1) = 1, 0, 1.
    """
    prompted = trained_policy(replace(gamble_config, algorithm="dt-final"), gamble)
    assert gambles(prompted, 1.0) > 0.95
    assert gambles(prompted, 0.5) < 0.05
    assert gambles(prompted, -1.0) > 0.95
    planned = trained_policy(gamble_config, gamble)
    assert gambles(planned, 1.0) < 0.1


def test_behavior_cloning_ignores_the_target(gamble, gamble_config, trained_policy):
    policy = trained_policy(replace(gamble_config, algorithm="bc"), gamble)
    assert gambles(policy, 1.0) == gambles(policy, -1.0)
    assert gambles(policy, 1.0) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("algorithm", BASELINES)
def test_resume_is_exact(make_config, dataset, assert_resume_is_exact, algorithm):
    assert_resume_is_exact(make_config(algorithm=algorithm), dataset)


@pytest.mark.parametrize("algorithm", BASELINES)
def test_a_baseline_has_neither_posterior_nor_return_predictor(make_config, dataset, algorithm):
    trainer = Trainer(make_config(algorithm=algorithm), dataset, torch.device("cpu"))
    assert trainer.inference.engine is None and not trainer.inference.parameters()
    assert isinstance(trainer.model, ConditionedTransformer)
    names = {name.split(".")[0] for name in trainer.model.state_dict()}
    assert names - {"known_ends"} == {"generator", "prompt_network"}
    assert ("known_ends" in names) == (algorithm == "goal")
    assert not any(name.startswith("engine") for name in trainer.state()[0])


def test_generators_are_of_one_size(make_config):
    config = make_config().model
    spaces = Spaces(observation_dim=3, action_dim=2, discrete=False)
    sizes = {
        sum(p.numel() for p in find_algorithm(a).build(config, spaces).generator.parameters())
        for a in ("lpt", *BASELINES)
    }
    assert len(sizes) == 1
    assert isinstance(find_algorithm("lpt").build(config, spaces), LatentPlanTransformer)


def test_unknown_algorithm_is_named():
    with pytest.raises(ValueError, match=r"unknown algorithm 'ppo'.*lpt, bc, .*, goal"):
        find_algorithm("ppo")


def test_the_best_tenth_is_cloned(make_config, two_behaviors, train):
    cloning = find_algorithm("bc-10")
    best = cloning.training_data(two_behaviors)
    assert len(best) == 10 and (best.returns == 1.0).all()
    assert best.provenance.fingerprint == two_behaviors.provenance.fingerprint
    assert best.provenance.details["best_share"] == 0.1
    first = np.flatnonzero(two_behaviors.returns == 1.0)[:10]  # equal returns: the earlier
    np.testing.assert_array_equal(best.lengths, two_behaviors.lengths[first])
    np.testing.assert_array_equal(
        best.trajectory(9).actions, two_behaviors.trajectory(int(first[9])).actions
    )
    config = make_config(
        algorithm="bc-10", updates=50, training={"average": 0, "learning_rate": 3e-3}
    )
    fitting = replace(config, sampler=config.sampler.fitted(len(best)))
    model = train(fitting, best, 50).model
    with torch.no_grad():
        cache = model.eval().begin(model.prompt(torch.zeros(1, 1)))
        action = float(model.step(cache, torch.zeros(1, 2), torch.zeros(1, 1)).mode())
    assert action == pytest.approx(0.4, abs=0.15)


def test_a_share_must_be_one(two_behaviors):
    assert len(two_behaviors.best(1.0)) == 96 and len(two_behaviors.best(1e-9)) == 1
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"share={share}"):
            two_behaviors.best(share)


def test_few_trajectories_give_as_many_segments():
    asked = SamplerConfig(batch_trajectories=64, segments=2)
    assert asked.fitted(20) == replace(asked, batch_trajectories=20, segments=7)
    assert asked.fitted(64) == asked
    whole = replace(asked, segments=0)
    assert whole.fitted(20) == replace(whole, batch_trajectories=20)


@pytest.mark.parametrize("algorithm", BASELINES)
def test_run_folder_is_named_after_the_baseline(make_config, algorithm):
    assert make_config(algorithm=algorithm, seed=3).run.name == f"{algorithm}-seed3"
