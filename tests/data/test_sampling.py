"""Batches: what their tokens are, that they estimate sums without bias, and how they are drawn."""

import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lpt.algorithms.return_to_go import with_return_to_go
from lpt.config import DatasetConfig, SamplerConfig
from lpt.data import Batch, TrajectoryDataset, TrajectorySampler


@pytest.fixture(scope="session")
def numbered(steps) -> Callable[..., TrajectoryDataset]:
    """`numbered(lengths, discrete=False)`: the first entry of each observation is its step."""

    def make(lengths, discrete=False):
        arrays = steps(list(lengths), discrete=discrete)
        arrays["observations"][:, 0] = np.concatenate([np.arange(length) for length in lengths])
        return TrajectoryDataset.from_steps(**arrays)

    return make


def sampler_of(dataset, context=4, seed=0, kind=TrajectorySampler, **config):
    config.setdefault("batch_trajectories", 1)
    return kind(dataset, SamplerConfig(**config), context, seed)


class EveryStart(TrajectorySampler):
    """Takes as many segments as there are starts, each start once."""

    def _starts(self, width: np.ndarray) -> np.ndarray:
        assert (width == self.config.segments).all()
        return np.tile(np.arange(self.config.segments), (len(width), 1))


def valid(batch: Batch) -> np.ndarray:
    """Whether a token `[B, M, L]` is a step of a trajectory, and no padding."""
    return batch.observations.numpy().any(-1)


def step_numbers(batch: Batch, dataset: TrajectoryDataset) -> np.ndarray:
    """Step within its trajectory of each token `[B, M, L]` of numbered data, -1 on padding."""
    first = batch.observations.numpy()[..., 0]
    steps = np.rint(first * dataset.observation_std[0] + dataset.observation_mean[0])
    return np.where(valid(batch), steps, -1).astype(int)


def windowed(batch: Batch, context: int) -> torch.Tensor:
    """A value per token `[B, M, L]` that depends on exactly the last `context` tokens."""
    value = batch.observations.double().sum(-1) + batch.previous_actions.double().sum(-1) ** 2
    value = torch.nn.functional.pad(torch.tanh(value), (context - 1, 0))
    return value.unfold(-1, context, 1).sum(-1) ** 2


@given(
    length=st.integers(1, 25),
    context=st.integers(1, 9),
    segment=st.integers(1, 9),
    discrete=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_segments_estimate_the_whole_exactly(numbered, length, context, segment, discrete):
    """Expectation over all starts, each once, equals the whole trajectory's sum, with history."""
    dataset = numbered([3, length, 2], discrete)
    starts = length + segment - 1
    sampler = sampler_of(dataset, context, kind=EveryStart, segments=starts, segment_steps=segment)
    batch, whole = sampler.resegment(np.array([1])), sampler.whole(np.array([1]))
    estimate = (batch.weight * windowed(batch, context)).sum()
    torch.testing.assert_close(
        estimate, (whole.weight * windowed(whole, context)).sum(), rtol=1e-5, atol=1e-6
    )


@given(length=st.integers(1, 25), context=st.integers(1, 9), segment=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_the_first_and_last_steps_count_as_often_as_the_others(numbered, length, context, segment):
    dataset = numbered([2, length])
    starts = length + segment - 1
    sampler = sampler_of(dataset, context, kind=EveryStart, segments=starts, segment_steps=segment)
    batch = sampler.resegment(np.array([1]))
    steps, scored = step_numbers(batch, dataset), batch.weight.numpy() > 0
    times = np.bincount(steps[scored], minlength=length)
    assert times.tolist() == [segment] * length
    assert (steps[scored] >= 0).all()  # padding is never scored


def test_random_segments_are_unbiased(numbered):
    dataset = numbered([7, 30, 3])
    sampler = sampler_of(dataset, batch_trajectories=3, segments=3, segment_steps=5)
    index, draws = np.array([1, 0, 2]), 2000
    totals = [np.zeros(n) for n in dataset.lengths]
    for _ in range(draws):
        batch = sampler.resegment(index)
        steps, weight = step_numbers(batch, dataset), batch.weight.numpy()
        for row, i in enumerate(index):
            keep = weight[row] > 0
            np.add.at(totals[i], steps[row][keep], weight[row][keep] / draws)
    for total in totals:
        assert np.abs(total - 1).max() < 0.12  # five standard errors of the rarest step


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    context=st.integers(1, 6),
    segments=st.integers(0, 4),
    segment=st.integers(1, 8),
    discrete=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_every_token_is_the_step_it_says(
    numbered, lengths, context, segments, segment, discrete, seed
):
    assume(sum(lengths) > 1)  # a single observation is standardized to zeros, as padding is
    dataset = numbered(lengths, discrete)
    sampler = sampler_of(
        dataset,
        context,
        seed,
        batch_trajectories=len(lengths),
        segments=segments,
        segment_steps=segment,
    )
    batch = sampler.next()
    tokens = context - 1 + segment if segments else max(lengths)
    assert batch.weight.shape == (len(lengths), segments or 1, tokens)
    assert sorted(batch.index.tolist()) == list(range(len(lengths)))
    steps = step_numbers(batch, dataset)
    one_hot = np.eye(dataset.action_dim, dtype=np.float32)
    for b, m in np.ndindex(steps.shape[:2]):
        one = dataset.trajectory(int(batch.index[b]))
        count = int(valid(batch)[b, m].sum())
        numbers = steps[b, m, :count]
        assert count > 0 and (steps[b, m, count:] == -1).all()  # valid tokens come first
        assert all(after == before + 1 for before, after in pairwise(numbers))
        scored = numbers[batch.weight[b, m, :count].numpy() > 0]
        assert numbers[0] == (max(scored[0] - (context - 1), 0) if segments else 0)
        assert scored[-1] == numbers[-1]
        expected = (one.observations[numbers] - dataset.observation_mean) / dataset.observation_std
        np.testing.assert_allclose(batch.observations[b, m, :count], expected, rtol=1e-6)
        np.testing.assert_array_equal(batch.actions[b, m, :count], one.actions[numbers])
        before = one.actions[np.maximum(numbers - 1, 0)]
        before = one_hot[before] if discrete else before.copy()
        before[numbers == 0] = 0
        np.testing.assert_array_equal(batch.previous_actions[b, m, :count], before)
        for name in ("observations", "actions", "previous_actions", "weight"):
            assert not getattr(batch, name)[b, m, count:].any()
    y = (dataset.returns[batch.index] - dataset.return_mean) / dataset.return_std
    np.testing.assert_allclose(batch.returns, y, rtol=1e-5, atol=1e-6)


def test_whole_trajectories(numbered):
    dataset = numbered([7, 3, 12])
    sampler = sampler_of(dataset, segments=0)
    batch = sampler.whole([1, 0])
    assert batch.index.tolist() == [1, 0]
    assert batch.observations.shape == (2, 1, 7, 3)
    assert batch.weight[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert step_numbers(batch, dataset)[0, 0].tolist() == [0, 1, 2, -1, -1, -1, -1]
    assert sampler.resegment(batch.index).weight.equal(batch.weight)  # segments=0


def test_types(make_dataset):
    batch = sampler_of(make_dataset([9, 9], discrete=True)).next().to("cpu")
    kinds = {name: getattr(batch, name).dtype for name in ("index", "actions")}
    assert kinds == {"index": torch.int64, "actions": torch.int64}
    for name in ("observations", "previous_actions", "weight", "returns"):
        assert getattr(batch, name).dtype == torch.float32
    assert "observations [1, 4, 19, 3]" in repr(batch)


def test_trajectories_are_drawn_in_proportion_to_length(make_dataset):
    sampler = sampler_of(make_dataset([1, 2, 4, 13]), context=1, segments=1, segment_steps=1)
    draws = [int(sampler.next().index) for _ in range(4000)]
    share = np.bincount(draws, minlength=4) / len(draws)
    np.testing.assert_allclose(share, np.array([1, 2, 4, 13]) / 20, atol=0.03)


def test_without_replacement_is_successive_sampling(make_dataset):
    """Pairs appear as when drawing one after another in proportion to length."""
    weights = np.array([1, 3, 6]) / 10
    options = {"batch_trajectories": 2, "segments": 1, "segment_steps": 1}
    sampler = sampler_of(make_dataset([1, 3, 6]), context=1, **options)
    missing = np.zeros(3)
    for _ in range(4000):
        missing[3 - sampler.next().index.sum()] += 1 / 4000
    expected = np.zeros(3)
    for i in range(3):
        for j in range(3):
            if i != j:
                expected[3 - i - j] += weights[i] * weights[j] / (1 - weights[i])
    np.testing.assert_allclose(missing, expected, atol=0.03)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_no_trajectory_repeats_in_a_batch(numbered, lengths, share, seed):
    count = max(1, int(share * len(lengths)))
    batch = sampler_of(numbered(lengths), seed=seed, batch_trajectories=count).next()
    assert len(set(batch.index.tolist())) == count


def test_resegment_gives_fresh_segments_of_the_same_trajectories(make_dataset):
    sampler = sampler_of(make_dataset([50] * 5), batch_trajectories=3)
    batch = sampler.next()
    again = sampler.resegment(batch.index)
    assert again.index.equal(batch.index) and again.returns.equal(batch.returns)
    assert not again.observations.equal(batch.observations)


def test_seed_and_saved_state_decide_every_batch(make_dataset):
    dataset = make_dataset([20] * 30)
    options = {"batch_trajectories": 4, "segments": 2}
    sampler, twin = (sampler_of(dataset, seed=5, **options) for _ in range(2))
    other = sampler_of(dataset, seed=6, **options)
    first = sampler.next()
    assert first.observations.equal(twin.next().observations)
    assert not first.observations.equal(other.next().observations)
    state = json.loads(json.dumps(sampler.state_dict()))
    expected = [sampler.next(), sampler.resegment(first.index), sampler.next()]
    other.load_state_dict(state)
    resumed = [other.next(), other.resegment(first.index), other.next()]
    for a, b in zip(expected, resumed, strict=True):
        assert a.index.equal(b.index) and a.observations.equal(b.observations)


def test_impossible_requests_are_refused(make_dataset):
    dataset = make_dataset([5, 5])
    with pytest.raises(ValueError, match=r"is 3, but arrays has 2 trajectories.*set it to 2"):
        sampler_of(dataset, batch_trajectories=3)
    with pytest.raises(ValueError, match="context is 0"):
        sampler_of(dataset, context=0)
    with pytest.raises(ValueError, match="segment_steps=0"):
        SamplerConfig(segment_steps=0)


def test_a_batch_costs_milliseconds(make_dataset):
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.integers(1, 100, 20_000).tolist())
    sampler = sampler_of(dataset, context=12, batch_trajectories=64, segments=8, segment_steps=13)
    sampler.next()
    start = time.process_time()
    for _ in range(50):
        sampler.next()
    assert (time.process_time() - start) / 50 < 0.01  # measured 0.001 s on one core


@pytest.mark.parametrize(("draw", "share"), [("uniform", 1 / 2), ("length", 4 / 5)])
def test_how_often_a_trajectory_is_drawn(make_dataset, draw, share):
    """One trajectory of 4 steps beside one of 16: drawn as often, or four times as often."""
    sampler = sampler_of(make_dataset([4, 16]), segments=0, draw=draw)
    long = np.mean([int(sampler.next().index[0]) == 1 for _ in range(2000)])
    assert long == pytest.approx(share, abs=0.04)


def test_an_unknown_way_to_draw_is_refused():
    with pytest.raises(ValueError, match=r"sampler\.draw is 'best', expected length or uniform"):
        SamplerConfig(draw="best")


def test_quantiles_of_the_returns_count_trajectories_as_they_are_drawn():
    """Returns 0 (three trajectories of 1 step) and 1 (one of 7): 1 is the median by length only."""
    lengths = [1, 1, 1, 7]
    rewards = np.zeros(10)
    rewards[-1] = 1.0
    data = TrajectoryDataset.from_offsets(
        np.zeros((10, 1)), np.zeros((10, 1)), rewards, np.concatenate([[0], np.cumsum(lengths)])
    )
    shares = (0.0, 0.29, 0.31, 0.5, 0.74, 0.76, 1.0)
    assert sampler_of(data).return_quantiles(shares) == (0, 0, 1, 1, 1, 1, 1)
    assert sampler_of(data, draw="uniform").return_quantiles(shares) == (0, 0, 0, 0, 0, 1, 1)


# Tilted draws, held steps, and how much a trajectory counts


def stopping(lengths, terminated=None, seed=0, **config) -> TrajectoryDataset:
    """Random trajectories of 4 observation entries, labels held to step 12."""
    rng = np.random.default_rng(seed)
    config = {"returns": "held", "horizon": 12, "rest": (2, 3), **config}
    steps = sum(lengths)
    return TrajectoryDataset.from_offsets(
        rng.normal(1, 2, (steps, 4)),
        rng.uniform(-1, 1, (steps, 2)),
        rng.normal(size=steps),
        np.concatenate([[0], np.cumsum(lengths)]),
        terminated,
        config=DatasetConfig(**config),
    )


def written_out(dataset: TrajectoryDataset, back: int) -> TrajectoryDataset:
    """The same data with their held steps stored; the last reward falls due again in each."""
    parts, ends = [], []
    for i, length in enumerate(dataset.lengths):
        held = 0 if dataset.terminated[i] else min(back, max(12 - length, 0))
        one = dataset.trajectory(i)
        still = np.repeat(one.observations[-1:], held, axis=0)
        still[:, list(dataset.config.rest)] = 0
        parts.append(
            (
                np.concatenate([one.observations, still]),
                np.concatenate([one.actions, np.zeros((held, 2), np.float32)]),
                np.concatenate([one.rewards, np.repeat(one.rewards[-1:], held)]),
            )
        )
        ends.append(length + held)
    arrays = [np.concatenate(part) for part in zip(*parts, strict=True)]
    config = replace(dataset.config, held_steps=0)
    out = TrajectoryDataset.from_offsets(
        *arrays, np.concatenate([[0], np.cumsum(ends)]), dataset.terminated, config=config
    )
    # The labels claim the held steps, stored or not; the rewards are summed in another order.
    np.testing.assert_allclose(out.returns, dataset.returns, rtol=1e-5, atol=1e-5)
    out = replace(out, returns=dataset.returns)
    vars(out)["observation_moments"] = dataset.observation_moments
    return out


def assert_same(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        a, b = getattr(one, field.name), getattr(other, field.name)
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@given(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    ended=st.lists(st.booleans(), min_size=6, max_size=6),
    held=st.integers(1, 14),
    rest=st.sampled_from([(), (2, 3), (0,)]),
    context=st.integers(1, 5),
    segments=st.integers(0, 4),
    segment=st.integers(1, 8),
    draw=st.sampled_from(["length", "uniform"]),
    tilt=st.sampled_from([0.0, 3.0]),
    counted=st.sampled_from([0, 9]),
)
@settings(max_examples=120, deadline=None)
def test_held_steps_are_learned_from_as_if_they_were_stored(
    lengths, ended, held, rest, context, segments, segment, draw, tilt, counted
):
    """Every batch is bit for bit that of the same data with the held steps written out."""
    ended = ended[: len(lengths)]
    dataset = stopping(lengths, ended, held_steps=held, rest=rest)
    stored = written_out(dataset, held)
    assert dataset.learned_lengths.tolist() == stored.lengths.tolist()
    options = {"segments": segments, "segment_steps": segment, "draw": draw}
    options |= {"label_tilt": tilt, "counted_steps": counted}
    options |= {"batch_trajectories": max(1, len(lengths) - 1)}
    ours, theirs = (sampler_of(data, context, **options) for data in (dataset, stored))
    for _ in range(2):
        assert_same(ours.next(), theirs.next())
    assert_same(ours.whole([0]), theirs.whole([0]))
    assert ours.return_quantiles((0.2, 0.9)) == theirs.return_quantiles((0.2, 0.9))


def test_a_held_step_is_the_last_observation_at_rest_with_no_action():
    dataset = stopping(
        [3, 2, 12], [False, True, False], held_steps=2, standardize_observations=False
    )
    assert dataset.learned_lengths.tolist() == [5, 2, 12]  # ended; at the horizon
    assert dataset.lengths.tolist() == [3, 2, 12] and dataset.num_steps == 17
    batch, one = sampler_of(dataset).whole([0]), dataset.trajectory(0)
    still = [*one.observations[2, :2], 0, 0]
    np.testing.assert_array_equal(batch.observations[0, 0], [*one.observations, still, still])
    np.testing.assert_array_equal(batch.actions[0, 0], [*one.actions, [0, 0], [0, 0]])
    np.testing.assert_array_equal(batch.previous_actions[0, 0], [[0, 0], *one.actions, [0, 0]])
    assert batch.weight[0, 0].tolist() == [1] * 5
    assert "held steps   2, at most 2 a trajectory" in repr(dataset)


@given(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=5),
    ended=st.lists(st.booleans(), min_size=5, max_size=5),
    held=st.integers(1, 11),
    last=st.integers(1, 6),
    rest=st.sampled_from([(), (2, 3), (0,)]),
)
@settings(max_examples=60, deadline=None)
def test_arrivals_are_late_steps_of_others_moved_to_this_end(lengths, ended, held, last, rest):
    dataset = stopping(
        lengths,
        ended[: len(lengths)],
        held_steps=held,
        arrival_steps=last,
        rest=rest,
        standardize_observations=False,
    )
    ones = [dataset.trajectory(i) for i in range(len(lengths))]
    keep = np.array([float(entry not in rest) for entry in range(4)], np.float32)
    allowed = [
        (one.observations[-back] - keep * one.observations[-1], one.actions[-back])
        for one, more in zip(ones, dataset.learned_lengths > dataset.lengths, strict=True)
        if more
        for back in range(1, min(last, len(one.actions)) + 1)
    ]
    batch = sampler_of(dataset).whole(np.arange(len(lengths)))
    for i, one in enumerate(ones):
        length, learned = len(one.actions), int(dataset.learned_lengths[i])
        states = batch.observations[i, 0, :learned].numpy()
        actions = batch.actions[i, 0, :learned].numpy()
        np.testing.assert_array_equal(states[:length], one.observations)
        np.testing.assert_array_equal(actions[:length], one.actions)
        for state, action in zip(states[length:], actions[length:], strict=True):
            moved = state - keep * one.observations[-1]
            assert any(
                np.allclose(moved, s, atol=1e-5) and np.array_equal(action, a) for s, a in allowed
            )


def test_arrivals_come_from_many_trajectories():
    dataset = stopping([5] * 40, held_steps=7, arrival_steps=1, standardize_observations=False)
    batch = sampler_of(dataset).whole([0])
    assert len(np.unique(batch.actions[0, 0, 5:12], axis=0)) == 7


def test_arrivals_leave_the_return_to_go_alone():
    dataset = TrajectoryDataset.from_offsets(
        np.array([[1.0], [3.0]]),
        np.zeros((2, 1)),
        [1.0, 2.0],
        [0, 2],
        config=DatasetConfig(returns="held", horizon=6, held_steps=3, arrival_steps=2),
    )
    data = with_return_to_go(dataset)
    batch = sampler_of(data).whole([0])
    shown = batch.observations[0, 0].numpy() * data.observation_std + data.observation_mean
    np.testing.assert_allclose(shown[:, 0], [1, 3, 3, 1, 3], rtol=1e-5)
    np.testing.assert_allclose(shown[:, 1], [11, 10, 8, 6, 4], rtol=1e-5)


def test_held_steps_stop_at_the_horizon():
    assert stopping([10, 12, 14, 1], held_steps=4).learned_lengths.tolist() == [12, 12, 14, 5]


def test_returns_to_go_count_down_while_the_end_is_held():
    """Two trajectories that earn 1 and 2 a step: in each held step as much less is to go."""
    dataset = TrajectoryDataset.from_offsets(
        np.ones((3, 1)),
        np.zeros((3, 1)),
        [1.0, 1.0, 2.0],
        [0, 2, 3],
        config=DatasetConfig(returns="held", horizon=5, held_steps=2, rest=(0,)),
    )
    batch = sampler_of(with_return_to_go(dataset)).whole([0, 1])
    data = with_return_to_go(dataset)
    to_go = batch.observations[..., 1].numpy() * data.observation_std[1] + data.observation_mean[1]
    np.testing.assert_allclose(to_go[0, 0], [5, 4, 3, 2], rtol=1e-6)
    np.testing.assert_allclose(to_go[1, 0, :3], [10, 8, 6], rtol=1e-6)


@given(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=4),
    held=st.integers(0, 14),
    context=st.integers(1, 5),
    segment=st.integers(0, 20),
    counted=st.integers(0, 30),
)
@settings(max_examples=80, deadline=None)
def test_what_a_trajectory_counts(lengths, held, context, segment, counted):
    """Over all starts, each once: the sum over its steps, or `counted_steps` times their mean."""
    dataset = stopping(lengths, held_steps=held)
    steps = int(dataset.learned_lengths[0])
    options = (
        {"segment_steps": segment, "segments": steps + segment - 1} if segment else {"segments": 0}
    )
    if not segment:
        options["segment_steps"] = 1
    sampler = sampler_of(dataset, context, kind=EveryStart, counted_steps=counted, **options)
    batch, whole = sampler.resegment([0]), sampler_of(dataset, segments=0).whole([0])
    estimate = (batch.weight * windowed(batch, context)).sum()
    total = windowed(whole, context).sum()
    expected = counted * total / steps if counted else total
    torch.testing.assert_close(estimate, expected, rtol=1e-4, atol=1e-5)


LENGTHS = [2, 14, 5, 9]


@pytest.mark.parametrize("tilt", [0.0, 2.0])
@pytest.mark.parametrize("draw", ["length", "uniform"])
@pytest.mark.parametrize(("held", "segments", "segment", "counted"), [(0, 0, 1, 0), (6, 2, 3, 7)])
def test_a_batch_estimates_what_it_says(draw, tilt, held, segments, segment, counted):
    """Mean of sum(weight f) over random batches: sum_i v_i C_i / sum_i v_i (the module's words)."""
    dataset = stopping(LENGTHS, [False, False, True, False], held_steps=held)
    steps = dataset.lengths + ([6, 0, 0, 3] if held else 0)
    sums = []
    for i in range(4):
        whole = sampler_of(dataset, segments=0).whole([i])
        sums.append(float(windowed(whole, 3)[..., : steps[i]].sum()))
    label = (dataset.returns - dataset.returns.min()) / np.ptp(dataset.returns)
    chance = (steps if draw == "length" else 1) * np.exp(tilt * label)
    counts = np.array(sums) * (counted / steps if counted else 1)
    expected = (chance * counts).sum() / chance.sum()
    options = {"segments": segments, "segment_steps": segment, "counted_steps": counted}
    sampler = sampler_of(dataset, 3, draw=draw, label_tilt=tilt, **options)
    found, drawn, draws = [], np.zeros(4), 1500
    for _ in range(draws):
        batch = sampler.next()
        drawn[int(batch.index)] += 1 / draws
        found.append(float((batch.weight * windowed(batch, 3)).sum()))
    np.testing.assert_allclose(drawn, chance / chance.sum(), atol=0.05)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(draws))


def test_a_tilt_of_nothing_and_equal_labels_change_nothing(make_dataset):
    dataset = make_dataset([4, 9, 20])
    level = replace(dataset, returns=np.ones(3, np.float32))
    for data, tilt in ((dataset, 0.0), (level, 5.0)):
        options = {"batch_trajectories": 2, "segments": 2}
        assert_same(
            sampler_of(data, label_tilt=tilt, **options).next(), sampler_of(data, **options).next()
        )


def test_quantiles_of_the_returns_are_those_of_the_tilted_data():
    """Returns 0 and 1, two to one: tilted by log 4 the one of 1 has two thirds of the chances."""
    data = TrajectoryDataset.from_offsets(
        np.zeros((3, 1)), np.zeros((3, 1)), [0.0, 0.0, 1.0], [0, 1, 2, 3]
    )
    sampler = sampler_of(data, label_tilt=float(np.log(4)))
    assert sampler.return_quantiles((0.3, 0.36, 0.5)) == (0, 1, 1)
    assert sampler_of(data).return_quantiles((0.3, 0.36, 0.5, 0.7)) == (0, 0, 0, 1)


def test_the_largest_tilt_draws_the_highest_label(make_dataset):
    dataset = make_dataset([10] * 50)
    batch = sampler_of(dataset, label_tilt=80.0, batch_trajectories=50).next()
    assert sorted(batch.index.tolist()) == list(range(50))
    sampler = sampler_of(dataset, label_tilt=80.0)
    assert {int(sampler.next().index) for _ in range(20)} == {int(dataset.returns.argmax())}


@pytest.mark.parametrize("tilt", [-0.1, float("inf"), float("nan"), 81])
def test_a_tilt_that_is_none_is_refused(tilt):
    with pytest.raises(ValueError, match=r"sampler\.label_tilt=.* must be finite, from 0 to 80"):
        SamplerConfig(label_tilt=tilt)


def test_counted_steps_are_not_negative():
    with pytest.raises(ValueError, match=r"sampler\.counted_steps=-1 must be 0 or more"):
        SamplerConfig(counted_steps=-1)
