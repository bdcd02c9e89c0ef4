"""Acting equals learning: the same history gives the same action, with plans made once."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import lpt.algorithms.latent_plan
from lpt.checkpoint.files import save_checkpoint, save_policy
from lpt.config import PlanningConfig
from lpt.evaluation.environments import make_environment
from lpt.evaluation.policy import LPTPolicy

UMAZE = "lpt_envs:lpt/Maze2D-umaze-v1"
STEPS = 23  # more than four contexts


def standardize(policy, observations):
    mean, std = policy.metadata.observation_mean, policy.metadata.observation_std
    return torch.tensor((observations - np.array(mean)) / np.array(std), dtype=torch.float32)


def previous_actions(policy, actions):
    """The training input: the action of the step before, zero at a trajectory's first step."""
    taken = torch.from_numpy(actions)
    if policy.spaces.discrete:
        taken = torch.nn.functional.one_hot(taken, policy.spaces.action_dim).float()
    return torch.cat((torch.zeros_like(taken[:, :1]), taken[:, :-1]), dim=1)


def roll(policy, observations, z, deterministic=True, starts=None):
    """Actions `[n, T]` of predict, called step by step on given observations `[n, T, obs]`."""
    state, actions = policy.begin(z), []
    for t in range(observations.shape[1]):
        start = None if starts is None else starts[:, t]
        action, state = policy.predict(observations[:, t], state, start, deterministic)
        actions.append(action)
    return np.stack(actions, axis=1)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"inputs": "states"},
        {"inputs": "states", "context": 1},
        {"frequencies": 3},
        {"inputs": "states", "frequencies": 2, "frequency_dims": (0, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("deterministic", [False, True])
def test_predict_with_cache_equals_the_whole_trajectory(
    discrete, deterministic, inputs, make_policy
):
    policy = make_policy(discrete, model=inputs)
    observations = np.random.default_rng(0).normal(size=(3, STEPS, 4)).astype(np.float32)
    plan = policy.plan(n=3)
    actions = roll(policy, observations, plan.z, deterministic)
    inputs = standardize(policy, observations), previous_actions(policy, actions)
    model = policy.model.eval()
    with torch.no_grad():
        whole = model.actions(plan.z, *(x[:, None] for x in inputs))  # one segment: everything
    if deterministic:
        assert np.allclose(actions, whole.mode()[:, 0].numpy(), atol=1e-5)
    # The distribution at every step, not only its mode: seen through the model's own step.
    state = policy.begin(plan.z)
    for t in range(STEPS):
        with torch.no_grad():
            step = model.step(state.cache, inputs[0][:, t], inputs[1][:, t])
        head, expected = (getattr(d, "logits" if discrete else "mean") for d in (step, whole))
        assert torch.allclose(head, expected[:, 0, t], atol=1e-5)


@pytest.mark.parametrize("discrete", [False, True])
def test_history_of_actions_is_not_shifted(discrete, make_policy):
    """The step after the first depends on the action taken; the first on none."""
    policy = make_policy(discrete)
    z = policy.plan(n=1).z
    observation = np.zeros((1, 4), np.float32)
    first, state = policy.predict(observation, policy.begin(z))
    expected = torch.zeros(1, policy.spaces.action_dim)
    if discrete:
        expected[0, int(first[0])] = 1
    else:
        expected[:] = torch.from_numpy(first)
    assert torch.equal(state.previous_action, expected)
    changed = dataclasses.replace(state, previous_action=torch.roll(expected, 1, dims=1) + 0.1)
    model = policy.model.eval()
    heads = []
    for s in (state, changed):
        with torch.inference_mode():
            fresh = policy._cache(s.cache, None)
            heads.append(model.generator.step(fresh, torch.zeros(1, 4), s.previous_action))
    assert not torch.allclose(*heads)


def test_a_model_of_states_forgets_its_actions(make_policy):
    policy = make_policy(model={"inputs": "states"})
    _, state = policy.predict(np.zeros((2, 4)))
    other = dataclasses.replace(state, previous_action=state.previous_action + 1)
    actions = [policy.predict(np.ones((2, 4)), s)[0] for s in (state, other)]
    assert np.array_equal(*actions)


def test_state_is_a_value(make_policy):
    policy = make_policy()
    rng = np.random.default_rng(0)
    state = None
    for _ in range(7):
        observation = rng.normal(size=(2, 4))
        action, state = policy.predict(observation, state)
        again, after = policy.predict(observation, state)
        repeated, _ = policy.predict(observation, state, np.array([True, False]))
        assert np.array_equal(policy.predict(observation, state)[0], again)
        assert np.array_equal(repeated[1], again[1])
        assert after is not state
    assert action.dtype == np.float32 and action.shape == (2, 2)


def test_one_environment_and_many_agree(make_policy):
    policy = make_policy()
    observations = np.random.default_rng(0).normal(size=(3, STEPS, 4)).astype(np.float32)
    z = policy.plan(n=3).z
    many = roll(policy, observations, z)
    state = policy.begin(z[1:2])
    for t in range(STEPS):
        action, state = policy.predict(observations[1, t], state)
        assert action.shape == (2,) and np.allclose(action, many[1, t], atol=1e-5)


def test_discrete_actions_are_integers(make_policy):
    policy = make_policy(discrete=True)
    action, _ = policy.predict(np.zeros(4))
    actions, _ = policy.predict(np.zeros((5, 4)))
    assert isinstance(action, np.int64) and action in (0, 1, 2)
    assert actions.shape == (5,) and actions.dtype == np.int64


def test_episode_start_forgets_the_history_and_keeps_the_plan(make_policy):
    policy = make_policy()
    observations = np.random.default_rng(0).normal(size=(2, 12, 4)).astype(np.float32)
    z = policy.plan(n=2).z
    starts = np.zeros((2, 12), bool)
    starts[:, 0] = True
    starts[1, 6] = True
    together = roll(policy, observations, z, starts=starts)
    assert np.allclose(together[0], roll(policy, observations, z)[0], atol=1e-5)
    assert np.allclose(together[1, 6:], roll(policy, observations[:, 6:], z)[1], atol=1e-5)


@pytest.fixture
def plans_made(monkeypatch):
    made = []
    real = lpt.algorithms.latent_plan.infer_plans

    def count(model, targets, config, generator):
        made.append((len(targets), config.weight, float(targets[0])))
        return real(model, targets, config, generator)

    monkeypatch.setattr(lpt.algorithms.latent_plan, "infer_plans", count)
    return made


def test_plans_once_for_the_target_asked(plans_made, make_policy):
    policy = make_policy(target=6.5 + 12.25)
    state = None
    for _ in range(5):
        _, state = policy.predict(np.zeros((3, 4)), state, np.ones(3, bool))
    assert plans_made == [(3, 1.0, 1.0)]
    policy.plan(target=6.5 - 12.25, n=2, weight=7.0)
    assert plans_made[1] == (2, 7.0, -1.0)


def test_replan_draws_from_plans_made_in_advance(plans_made, make_policy):
    policy = make_policy(replan=True)
    _, state = policy.predict(np.zeros((4, 4)))
    first = state.cache.plans[0].keys.clone()
    for _ in range(20):  # rows that never get past their first step cost nothing
        _, state = policy.predict(np.zeros((4, 4)), state, np.ones(4, bool))
    assert len(plans_made) == 1 and torch.equal(state.cache.plans[0].keys, first)
    _, state = policy.predict(np.zeros((4, 4)), state)
    for row in range(4):  # four new episodes, one batch of plans
        starts = np.arange(4) == row
        for _ in range(3):
            _, state = policy.predict(np.zeros((4, 4)), state, starts)
            starts = np.zeros(4, bool)
        changed = (state.cache.plans[0].keys != first).flatten(1).any(1)
        assert changed.tolist() == [i <= row for i in range(4)]
    assert len(plans_made) == 2


def test_evaluate_policy_of_stable_baselines3_plans_once(plans_made, make_policy, short_episodes):
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

    env = VecMonitor(DummyVecEnv([lambda: make_environment(UMAZE) for _ in range(3)]))
    env.seed(0)
    policy = make_policy()
    # Four episodes for three environments: two of them wait an episode with episode_start true.
    returns, lengths = evaluate_policy(policy, env, 4, return_episode_rewards=True)
    env.close()
    assert lengths == [short_episodes] * 4 and all(0 <= r <= 300 for r in returns)
    assert plans_made == [(3, 1.0, pytest.approx((40 - 6.5) / 12.25))]


@pytest.mark.parametrize(
    ("discrete", "evaluated", "drawn"),
    [(True, None, True), (False, None, False), (True, True, False), (False, False, True)],
)
def test_actions_in_a_loop_are_those_of_evaluations(discrete, evaluated, drawn, make_policy):
    policy = make_policy(discrete)
    config = policy.metadata.config
    evaluation = dataclasses.replace(config.evaluation, deterministic=evaluated)
    config = dataclasses.replace(config, evaluation=evaluation)
    policy.metadata = dataclasses.replace(policy.metadata, config=config)
    observations, state = np.zeros((64, 4)), policy.begin(policy.plan(n=1).z.expand(64, -1, -1))
    actions, _ = policy.predict(observations, state)
    modes, _ = policy.predict(observations, state, deterministic=True)
    assert np.array_equal(actions, modes) != drawn


@pytest.mark.parametrize("deterministic", [True, False])
def test_dropout_is_off_even_in_train_mode_which_is_kept(deterministic, make_policy):
    with_dropout, without = make_policy(dropout=0.5), make_policy()
    with_dropout.model.train()
    without.model.eval()
    observations = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    for policy in (with_dropout, without):
        policy.seed(5)
    plans = [policy.plan(n=2).z for policy in (with_dropout, without)]
    assert torch.equal(*plans)
    actions = [roll(p, observations, plans[0], deterministic) for p in (with_dropout, without)]
    assert np.array_equal(*actions)
    assert all(m.training for m in with_dropout.model.modules())


def test_act_and_reset_are_the_same_policy(make_policy):
    policy = make_policy(seed=4)
    observations = np.random.default_rng(0).normal(size=(8, 4))
    policy.reset()
    acted = np.stack([policy.act(o) for o in observations])
    policy.seed(4)
    expected = roll(policy, observations[None], policy.plan().z)[0]
    assert np.allclose(acted, expected, atol=1e-6)
    policy.reset(target=0.0)
    assert not np.allclose(policy.act(observations[0]), acted[1])


def test_seed_decides_plans_and_draws(make_policy):
    draws = []
    for seed in (1, 1, 2):
        policy = make_policy(seed=seed)
        draws.append(policy.predict(np.zeros((2, 4)), deterministic=False)[0])
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_predicted_returns_are_in_raw_units(make_policy):
    policy = make_policy()
    plan = policy.plan(n=3)
    raw = policy.predicted_returns(plan)
    assert raw.shape == (3,)
    assert np.allclose(raw, plan.predicted_return.numpy() * 12.25 + 6.5)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ((np.zeros(4), {}), r"tuple of reset\(\): use `observation, info = env.reset\(\)`"),
        ({"observation": np.zeros(4)}, "dictionary of .'observation'.*FlattenObservation"),
        (np.zeros(5), r"shape \(5,\); expected \(4,\) or \(n, 4\), as in .*maze2d-umaze"),
        (np.zeros((2, 2, 4)), r"shape \(2, 2, 4\)"),
        (0, r"shape \(\)"),
        (np.array([[0.0] * 4, [0, np.nan, 0, 0]]), "NaN or infinity in row 1"),
    ],
)
def test_wrong_observations_name_the_mistake(observation, message, make_policy):
    with pytest.raises(ValueError, match=message):
        make_policy().predict(observation)


def test_states_and_episode_starts_of_other_sizes_are_refused(make_policy):
    policy = make_policy()
    _, state = policy.predict(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="3 observations with a state of 2 episodes"):
        policy.predict(np.zeros((3, 4)), state)
    with pytest.raises(ValueError, match=r"episode_start has shape \(3,\).*2 environments"):
        policy.predict(np.zeros((2, 4)), state, np.zeros(3, bool))


def test_wrong_targets_and_devices_are_refused(make_policy):
    with pytest.raises(ValueError, match="target=nan must be a finite return"):
        make_policy(target=float("nan"))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device cuda is not available.*'cpu' or 'auto'"):
            make_policy(device="cuda")


@pytest.mark.parametrize(
    "inputs", [{}, {"inputs": "states", "frequencies": 2, "frequency_dims": (0, 1)}], ids=str
)
def test_load_gives_the_policy_that_was_saved(tmp_path, make_metadata, make_policy_model, inputs):
    model = make_policy_model(**inputs)
    config = {"planning": {"steps": 3, "weight": 4.0}, "evaluation": {"target": None}}
    config["model"] = dataclasses.asdict(model.config)
    metadata = make_metadata(config=config)
    save_checkpoint(tmp_path, 10, model.state_dict(), metadata, {}, {})
    save_policy(tmp_path / "best", make_policy_model(seed=1, **inputs).state_dict(), metadata)
    saved = LPTPolicy(model, metadata)
    loaded = LPTPolicy.load(tmp_path)
    assert loaded.planning == PlanningConfig(steps=3, weight=4.0)
    assert loaded.target == 50.0  # the 99 % quantile
    expected, actual = (p.predict(np.ones((2, 4)))[0] for p in (saved, loaded))
    assert np.array_equal(expected, actual)
    best = LPTPolicy.load(tmp_path, "best", target=1.0)
    assert best.target == 1.0 and not np.array_equal(best.predict(np.ones((2, 4)))[0], expected)


def test_load_refuses_what_does_not_fit(tmp_path, make_metadata, make_policy_model):
    model = make_policy_model()
    config = {"model": {**dataclasses.asdict(model.config), "layers": 3}}
    folder = save_policy(tmp_path / "a", model.state_dict(), make_metadata(config=config))
    with pytest.raises(
        ValueError, match=r"weights do not fit the model that policy.json describes"
    ):
        LPTPolicy.load(folder)
    folder = save_policy(tmp_path / "b", model.state_dict(), make_metadata())
    record = json.loads((folder / "policy.json").read_text())
    record["config"]["model"]["color"] = 3
    (folder / "policy.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"policy.json, config: model.color=3 is no setting"):
        LPTPolicy.load(folder)


def test_an_action_changed_in_place_does_not_change_the_history(make_policy):
    policy = make_policy()
    action, state = policy.predict(np.zeros((2, 4)))
    before = state.previous_action.clone()
    action *= 100
    assert torch.equal(state.previous_action, before)


def test_a_loop_that_drops_the_state_is_told_so_once(make_policy):
    policy = make_policy()
    policy.predict(np.zeros(4))
    with pytest.warns(UserWarning, match=r"without state.*action, state = policy\.predict"):
        policy.predict(np.ones(4))
    policy.predict(np.ones(4))  # warnings are errors: no second one


def test_episodes_begun_without_state_are_no_lost_states(make_policy):
    policy = make_policy()
    for deterministic in (True, False):  # two looks at one first step
        policy.predict(np.zeros(4), deterministic=deterministic)
    for _ in range(3):
        _, state = policy.predict(np.zeros(4))
        policy.predict(np.ones(4), state)


def test_drawn_plans_differ_from_episode_to_episode(plans_made, make_policy, short_episodes):
    """With one environment `evaluate_policy` must not play all episodes by one draw."""
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    policy = make_policy(planning=PlanningConfig(steps=2, sample=True))
    assert policy.replan and not make_policy().replan
    seen, begin = [], policy.predict

    def predict(observation, state=None, **options):
        action, state = begin(observation, state, **options)
        seen.append(float(state.cache.plans[0].keys.sum()))
        return action, state

    policy.predict = predict
    env = Monitor(make_environment(UMAZE))
    evaluate_policy(policy, env, 3)
    env.close()
    plans = np.array(seen).reshape(3, short_episodes)
    assert (plans == plans[:, :1]).all() and len(set(plans[:, 0])) == 3
    assert len(plans_made) == 3


@pytest.mark.parametrize("discrete", [False, True])
def test_spaces_are_those_of_the_environment(discrete, make_policy):
    policy = make_policy(discrete)
    action, _ = policy.predict(np.zeros(4))
    assert policy.action_space.contains(action)
    assert policy.observation_space.contains(np.zeros(4, np.float32))


def test_a_policy_saves_what_it_is_now(tmp_path, make_policy, make_metadata, make_policy_model):
    model = make_policy_model()
    metadata = make_metadata(config={"model": dataclasses.asdict(model.config)})
    planning = PlanningConfig(steps=2, weight=3.0)
    policy = LPTPolicy(model, metadata, planning=planning, target=12.5)
    folder = policy.save(tmp_path / "mine")
    again = LPTPolicy.load(folder)
    assert (again.target, again.planning) == (12.5, planning) and repr(again) == repr(policy)
    assert np.array_equal(again.predict(np.ones(4))[0], policy.predict(np.ones(4))[0])
    with pytest.raises(FileExistsError, match="already exists"):
        policy.save(folder)
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError, match=r"no folder with a policy\.json"):
        policy.save(tmp_path / "other", overwrite=True)
    policy.save(folder, overwrite=True)


def test_a_policys_repr_says_what_it_is(make_policy):
    text = repr(make_policy(discrete=True))
    for word in ("maze2d-umaze", "lpt", "10 updates", "Discrete(3)", "target=40", "cpu"):
        assert word in text
