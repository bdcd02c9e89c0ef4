"""Training resumes bit for bit, follows its seed, and learns plans that say something."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.algorithms.latent_plan import ENGINES
from lpt.config import DatasetConfig, SamplerConfig, TrainingConfig
from lpt.data import TrajectorySampler
from lpt.training.diagnosis import diagnose
from lpt.training.history import split_history
from lpt.training.trainer import Trainer, spaces_of

CPU = torch.device("cpu")


def test_plans_are_remembered_saved_and_planned_with(
    make_config, dataset, train, assert_resume_is_exact
):
    config = make_config(model={"remembered_plans": 20}, planning={"method": "aggregated"})
    assert_resume_is_exact(config, dataset)
    trainer = train(config, dataset, 2)
    plans = trainer.policy_model.remembered.draws()  # the averaged model has them too
    assert plans.shape == (16, 2, 8) and plans.std() > 0.1
    trainer.update()
    assert len(trainer.policy_model.remembered.draws()) == 20
    with pytest.raises(ValueError, match=r"keep some, as in --model\.remembered-plans 1024"):
        make_config(planning={"method": "aggregated"})


@pytest.mark.parametrize("engine", ENGINES)
def test_resume_equals_uninterrupted_bit_for_bit(
    make_config, dataset, assert_resume_is_exact, engine
):
    assert_resume_is_exact(make_config(engine=engine, posterior={"steps": 2}), dataset)


@pytest.mark.parametrize("engine", ["amortized", "langevin", "langevin-paper"])
def test_resume_is_exact_with_dropout(make_config, dataset, assert_resume_is_exact, engine):
    assert_resume_is_exact(make_config(engine=engine, model={"dropout": 0.3}), dataset)


def test_resume_is_exact_with_noisy_observations_and_views_of_the_end(
    make_config, dataset, assert_resume_is_exact
):
    noisy = {"observation_noise": 0.1}
    config = make_config(training=noisy, proposal={"view": "end", "reads_return": False})
    assert_resume_is_exact(config, dataset)


def test_resume_is_exact_with_states_alone_frequencies_and_raw_noise(
    make_config, dataset, assert_resume_is_exact
):
    config = make_config(
        model={"inputs": "states", "context": 1, "frequencies": 2, "frequency_dims": (0, 2)},
        training={"observation_noise_raw": (0.1, 0.0, 0.3)},
    )
    assert_resume_is_exact(config, dataset)


def test_raw_noise_is_divided_by_the_datas_deviations(make_config, dataset):
    raw = tuple(0.1 * dataset.observation_std.astype(float))
    same = [{"observation_noise": 0.1}, {"observation_noise_raw": raw}]
    one, two = (Trainer(make_config(training=noise), dataset, CPU) for noise in same)
    batches = [t._with_noise(t.batches.sampler.next()) for t in (one, two)]
    torch.testing.assert_close(*(batch.observations for batch in batches))
    still = Trainer(make_config(training={"observation_noise_raw": (0.0, 0.5, 0.0)}), dataset, CPU)
    batch = still.batches.sampler.next()
    noise = still._with_noise(batch).observations - batch.observations
    assert not noise[..., [0, 2]].any()
    assert noise[..., 1].std() * dataset.observation_std[1] == pytest.approx(0.5, rel=0.2)


def test_raw_noise_leaves_what_an_algorithm_appends_alone(make_config, dataset):
    noisy = {"observation_noise_raw": (0.5, 0.5, 0.5)}
    config = make_config(algorithm="dt", training=noisy)
    trainer = Trainer(config, find_algorithm("dt").training_data(dataset), CPU)
    batch = trainer.batches.sampler.next()
    noise = trainer._with_noise(batch).observations - batch.observations
    assert noise.shape[-1] == 4 and noise[..., :3].all() and not noise[..., 3].any()


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"observation_noise_raw": (0.1,), "observation_noise": 0.1}, "two units: give one"),
        ({"observation_noise_raw": (0.1, -0.1)}, r"observation_noise_raw=\[0.1, -0.1\] must be 0"),
        ({"observation_noise": -1.0}, r"observation_noise=-1.0 must be 0 or more"),
        ({"observation_noise_raw": (0.1, 0.1)}, "has 2 entries, expected 3: one for each"),
    ],
)
def test_impossible_noise_is_refused_before_training(make_config, dataset, noise, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_config(training=noise), dataset, CPU)


def test_resume_is_exact_with_discrete_actions_and_whole_trajectories(
    make_config, discrete_dataset, assert_resume_is_exact
):
    config = make_config(
        engine="amortized",
        model={"likelihood": "categorical"},
        sampler={"segments": 0},
        posterior={"steps": 2},
    )
    assert_resume_is_exact(config, discrete_dataset)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_runs_with_one_seed_are_identical_and_other_seeds_differ(
    make_config, dataset, train, assert_same_state, engine
):
    one, two = (train(make_config(engine=engine, seed=5), dataset, 2) for _ in range(2))
    assert_same_state(one, two)
    other = train(make_config(engine=engine, seed=6), dataset, 2)
    (tensors, values), (others, other_values) = one.state(), other.state()
    assert values["sampler"] != other_values["sampler"]
    chains, persistent = "engine.chains.states", one.inference.engine.chains is not None
    for name in ("rng.noise", "rng.views", *([chains] * persistent)):
        assert not torch.equal(tensors[name], others[name])
    # Chains of engines that do not use them would be nine tenths of a checkpoint.
    assert (chains in tensors) == persistent == (engine in ("langevin-paper", "preconditioned"))
    assert not persistent or len(tensors[chains]) == dataset.num_trajectories
    name = "model.generator.head.weight"
    assert not torch.allclose(tensors[name], others[name], atol=1e-3)


def test_another_models_or_data_sets_state_is_refused(
    make_config, dataset, two_behaviors, train, through_files
):
    tensors, values = through_files(train(make_config(), dataset, 1))
    with pytest.raises(ValueError, match="another model"):
        Trainer(make_config(model={"width": 16}), dataset, CPU).load_state(tensors, values)
    config = make_config(sampler={"batch_trajectories": 4})
    fewer = type(dataset).from_offsets(
        dataset.observations[:6], dataset.actions[:6], dataset.rewards[:6], [0, 1, 2, 4, 6]
    )
    with pytest.raises(ValueError, match="of 24 trajectories, the data set has 4"):
        Trainer(config, fewer, CPU).load_state(tensors, values)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("segments", [3, 0])
def test_every_engine_trains_on_segments_and_on_whole_trajectories(
    make_config, dataset, train, engine, segments
):
    trainer = train(make_config(engine=engine, sampler={"segments": segments}), dataset, 1)
    scalars = trainer.update()
    assert all(np.isfinite(float(value)) for value in scalars.values())
    assert scalars["optim/gradient_norm"] > 0 and trainer.updates == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_trains_on_discrete_actions(make_config, discrete_dataset, train, engine):
    config = make_config(engine=engine, model={"likelihood": "categorical"})
    trainer = train(config, discrete_dataset, 2)
    first = float(Trainer(config, discrete_dataset, CPU).update()["loss/actions"])
    assert first == pytest.approx(np.log(5), rel=0.5)  # nats a step: about a uniform guess
    assert np.isfinite(float(trainer.update()["loss/total"]))
    assert spaces_of(discrete_dataset).action_dim == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_loss_falls(make_config, two_behaviors, engine):
    config = make_config(
        engine=engine,
        updates=20,
        model={"likelihood": "censored", "layers": 1},
        training={"learning_rate": 2e-2},
        posterior={"steps": 2, "prior_start": 1.0, "prior_warmup": 0},
        sampler={"batch_trajectories": 24},
    )
    trainer = Trainer(config, two_behaviors, CPU)
    losses = [float(trainer.update()["loss/actions"]) for _ in range(20)]
    assert np.mean(losses[-8:]) < np.mean(losses[:4]) - 0.05


def test_plans_become_informative_with_the_amortized_engine(make_config, two_behaviors):
    """Two players that one action hardly tells apart: within 120 updates the plan does.

    Measured with seeds 0 and 1: information 0.9 and 0.8 nats a step, KL 1.6 nats (log 2 is 0.7).
    """
    config = make_config(
        engine="amortized",
        updates=120,
        model={
            "layers": 1,
            "context": 1,
            "likelihood": "censored",
            "action_std": 0.4,
            "return_std": 0.5,
        },
        training={"learning_rate": 8e-3, "warmup": 20},
        posterior={"prior_warmup": 60},
        proposal={"steps": 16},
        sampler={"batch_trajectories": 48, "segments": 3},
    )
    trainer = Trainer(config, two_behaviors, CPU)

    def known():
        seen = [diagnose(trainer) for _ in range(4)]
        return {name.removeprefix("plan/"): np.mean([d[name] for d in seen]) for name in seen[0]}

    assert abs(known()["information"]) < 0.1
    for _ in range(120):
        scalars = trainer.update()
    end = known()
    assert end["information"] > 0.4 and end["own"] > end["prior"] + 0.2
    assert end["return_correlation"] > 0.9
    assert 0.5 < scalars["chain/kl"] < 5


def test_policy_weights_are_an_average_that_follows_the_model(make_config, dataset, train):
    raw = train(make_config(training={"average": 0.0}), dataset, 4)
    for averaged, current in zip(
        raw.policy_model.parameters(), raw.model.parameters(), strict=True
    ):
        assert torch.equal(averaged, current)
    mean = train(make_config(training={"average": 0.998}), dataset, 4)
    start = Trainer(make_config(), dataset, CPU).model.generator.head.weight
    lag = mean.policy_model.generator.head.weight - start
    way = mean.model.generator.head.weight - start
    assert 0 < lag.norm() < way.norm()


def test_learning_rate_rises_then_falls_to_zero(make_config, dataset):
    config = make_config(updates=20, training={"warmup": 5, "learning_rate": 1e-3})
    trainer = Trainer(config, dataset, CPU)
    rates = [trainer.update()["optim/learning_rate"] for _ in range(20)]
    assert rates[0] == pytest.approx(2e-4) and max(rates) <= 1e-3
    assert rates[:5] == sorted(rates[:5]) and rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(5e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_diagnosing_leaves_the_parameters_and_the_next_updates_mode_alone(
    make_config, dataset, train, engine
):
    trainer = train(make_config(engine=engine), dataset, 1)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    scalars = diagnose(trainer)
    assert all(np.isfinite(value) for value in scalars.values())
    assert all(torch.equal(before[k], v) for k, v in trainer.model.state_dict().items())
    assert scalars["plan/information"] == pytest.approx(
        scalars["plan/own"] - scalars["plan/shuffled"]
    )
    trainer.update()
    assert trainer.model.training


def test_split_history_keeps_every_step_and_cuts_the_history(dataset):
    sampler = TrajectorySampler(
        dataset, SamplerConfig(batch_trajectories=3, segments=4, segment_steps=5), context=4, seed=0
    )
    batch = sampler.next()
    whole, loose = split_history(batch, 2)
    assert whole.weight.shape == (3, 2, 8)
    assert loose.weight.shape == (3, 16, 1)
    kept = whole.weight.sum((1, 2)) + loose.weight.sum((1, 2))
    torch.testing.assert_close(kept, batch.weight.sum((1, 2)))
    torch.testing.assert_close(loose.observations[:, 8, 0], batch.observations[:, 1, 0])
    assert not loose.previous_actions.any()
    assert [part.weight.shape for part in split_history(batch, 4)] == [(3, 32, 1)]
    assert split_history(batch, 0) == [batch]


def test_history_dropout_ends_when_configured(dataset, make_config):
    config = make_config(
        updates=4,
        training=TrainingConfig(history_dropout=1.0, history_dropout_updates=2, threads=1),
    )
    trainer = Trainer(config, dataset, CPU)
    segments = config.sampler.segments
    shares = []
    for _ in range(3):
        shares.append(trainer._segments_without_history(trainer.batches.sampler.next()))
        trainer.update()
    assert shares == [segments, segments, 0]


def test_history_dropout_needs_segments(make_config, dataset):
    config = make_config(sampler={"segments": 0}, training={"history_dropout": 0.5})
    with pytest.raises(ValueError, match=r"history_dropout=0.5 .*sampler.segments"):
        Trainer(config, dataset, CPU)


def test_the_loss_is_in_nats_a_step_whatever_a_trajectory_counts(dataset, make_config):
    """Held steps count as the others, and a trajectory of `counted_steps` as so many."""
    assert Trainer(make_config(), dataset, CPU).scale == 1 / float(dataset.lengths.mean())
    held = replace(dataset, config=DatasetConfig(returns="held", horizon=30, held_steps=5))
    lengths = np.minimum(dataset.lengths + 5, 30)
    assert Trainer(make_config(), held, CPU).scale == 1 / float(lengths.mean())
    config = make_config(sampler={"counted_steps": 40})
    assert Trainer(config, held, CPU).scale == 1 / 40


def test_resume_is_exact_with_held_steps_and_tilted_draws(
    make_config, dataset, assert_resume_is_exact
):
    held = replace(
        dataset, config=DatasetConfig(returns="held", horizon=40, held_steps=5, rest=(1,))
    )
    sampler = {"label_tilt": 2.0, "counted_steps": 20, "draw": "uniform"}
    assert_resume_is_exact(make_config(sampler=sampler), held)
