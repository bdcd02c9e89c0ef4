"""Banded attention is exact, costs no square of the length, and sees exactly K steps."""

import pytest
import torch

from lpt.config import SamplerConfig
from lpt.data import TrajectorySampler
from lpt.model.attention import (
    NEIGHBORS,
    BandedSelfAttention,
    angles,
    attend,
    banded_attention,
    layer_windows,
    neighbor_attention,
    rotate,
)


def full_attention(q, k, v, window):
    """The definition: every score computed, those outside the band removed."""
    step = torch.arange(q.shape[2])
    back = step[:, None] - step[None, :]
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill((back < 0) | (back >= window), -torch.inf)
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("window", [1, 2, 3, 16, 17, 18, 40, 200])
@pytest.mark.parametrize("time", [1, 2, 16, 31, 32, 33, 64, 65, 100, 129])
def test_band_equals_the_full_masked_matrix(time, window):
    torch.manual_seed(time * 1000 + window)
    q, k, v = torch.randn(3, 2, 3, time, 4, dtype=torch.float64).requires_grad_()
    got, want = banded_attention(q, k, v, window), full_attention(q, k, v, window)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    direction = torch.randn_like(got)
    leaves = (k, v) if window > 1 else (v,)  # a window of one has weights of one, whatever q and k
    for leaf in leaves:
        a = torch.autograd.grad((got * direction).sum(), leaf, retain_graph=True, allow_unused=True)
        b = torch.autograd.grad((want * direction).sum(), leaf, retain_graph=True)
        torch.testing.assert_close(a[0], b[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [2, 3, NEIGHBORS])
@pytest.mark.parametrize("time", [1, 2, 7, 33])
def test_neighbors_equal_the_full_masked_matrix(time, window):
    """Also where one sequence follows another on the same axis."""
    torch.manual_seed(time * 1000 + window)
    q, k, v = torch.randn(3, 2, 3, time, 4, dtype=torch.float64).requires_grad_()  # [B, H, T, d]
    flat = (x.permute(1, 3, 0, 2).reshape(3, 4, 2 * time) for x in (q, k, v))
    out = neighbor_attention(*flat, torch.arange(time).repeat(2), window)
    got = out.view(3, 4, 2, time).permute(2, 0, 3, 1)
    want = full_attention(q, k, v, window)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    direction = torch.randn_like(got)
    for leaf in (q, k, v):
        a = torch.autograd.grad((got * direction).sum(), leaf, retain_graph=True)
        b = torch.autograd.grad((want * direction).sum(), leaf, retain_graph=True)
        torch.testing.assert_close(a[0], b[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [2, 5])
def test_a_narrow_band_is_the_same_by_neighbors_and_by_blocks(window, monkeypatch):
    torch.manual_seed(window)
    attention = BandedSelfAttention(8, 2, window)
    x = torch.randn(3, 21, 8)
    by_neighbors = attention(x)
    monkeypatch.setattr("lpt.model.attention.NEIGHBORS", 0)
    torch.testing.assert_close(by_neighbors, attention(x), rtol=0, atol=1e-6)


def test_a_window_of_one_is_what_the_whole_projection_gives():
    torch.manual_seed(0)
    attention = BandedSelfAttention(8, 2, window=1)
    x = torch.randn(3, 21, 8)
    q, k, v = attention._project(x)
    y = full_attention(q, k, v, 1)
    want = attention.out(y.transpose(1, 2).reshape(x.shape))
    torch.testing.assert_close(attention(x), want, rtol=0, atol=1e-6)
    gradients = []
    for out in (attention(x), want):
        attention.zero_grad()
        out.square().sum().backward(retain_graph=True)
        gradients.append([p.grad.clone() for p in attention.parameters()])
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [5, 64])
def test_no_score_matrix_grows_with_the_square_of_time(window, monkeypatch):
    scores = []

    def recording(q, k, v, mask=None):
        scores.append(q.shape[:-1].numel() * k.shape[-2])
        return attend(q, k, v, mask)

    monkeypatch.setattr("lpt.model.attention.attend", recording)
    for time in (1000, 4000):
        q, k, v = torch.randn(3, 1, 1, time, 2)
        banded_attention(q, k, v, window)
    short, long = scores
    assert long <= 4.1 * short
    assert long <= 4000 * 2 * max(window, 16) * 1.1


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("context", [1, 2, 3, 8, 16, 64])
def test_layer_windows_share_the_context_exactly(context, layers):
    windows = layer_windows(context, layers)
    assert len(windows) == layers and min(windows) >= 1
    assert 1 + sum(w - 1 for w in windows) == context
    assert max(windows) - min(windows) <= 1


def test_rotary_scores_depend_on_differences_of_positions_only():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)

    cos, sin = angles(128, 4, q.device)

    def turned(x, i):
        return rotate(x, cos[i : i + 1], sin[i : i + 1])

    def score(i, j):
        return float((turned(q, i) * turned(k, j)).sum())

    assert score(7, 4) == pytest.approx(score(103, 100), abs=1e-4)
    assert abs(score(7, 4) - score(7, 5)) > 1e-3
    torch.testing.assert_close(turned(q, 9).norm(), q.norm())


def random_inputs(batch, time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, 2, 8, generator=generator)
    observations = torch.randn(batch, 1, time, 3, generator=generator)
    previous = torch.randn(batch, 1, time, 2, generator=generator)
    previous[:, :, 0] = 0
    return z, observations, previous


@pytest.mark.parametrize(
    ("context", "layers"), [(1, 1), (1, 3), (2, 2), (5, 1), (5, 2), (8, 3), (20, 4), (40, 1)]
)
def test_an_action_depends_on_exactly_the_last_k_steps(make_model, context, layers):
    model = make_model(context=context, layers=layers, spread=0.3)
    z, observations, previous = random_inputs(1, 45)
    for t in (0, context - 1, 44):
        observations.requires_grad_()
        previous.requires_grad_()
        output = model.generator(z, observations, previous)[0, 0, t].sum()
        gradients = torch.autograd.grad(output, (observations, previous))
        for gradient in gradients:
            seen = gradient[0, 0].abs().sum(-1).nonzero().flatten().tolist()
            assert seen == list(range(max(0, t - context + 1), t + 1))


@pytest.mark.parametrize(("context", "layers"), [(5, 2), (20, 3)])
def test_changing_the_step_before_the_context_changes_nothing(make_model, context, layers):
    model = make_model(context=context, layers=layers, spread=0.3)
    z, observations, previous = random_inputs(1, 60)
    t = 50
    with torch.no_grad():
        base = model.generator(z, observations, previous)[0, 0, t]
        for back, matters in ((context, False), (context - 1, True)):
            changed = observations.clone()
            changed[0, 0, t - back] += 3.0
            difference = (model.generator(z, changed, previous)[0, 0, t] - base).abs().max()
            assert bool(difference > 1e-7) == matters
            if not matters:
                assert difference == 0


@pytest.mark.parametrize(("context", "layers"), [(1, 2), (5, 2), (16, 3), (64, 1)])
def test_rolling_cache_equals_the_whole_trajectory(make_model, context, layers):
    model = make_model(context=context, layers=layers)
    z, observations, previous = random_inputs(3, 300)
    with torch.no_grad():
        whole = model.actions(z, observations, previous).mode()[:, 0]
        cache = model.begin(z)
        for t in range(300):
            rolled = model.step(cache, observations[:, 0, t], previous[:, 0, t]).mode()
            torch.testing.assert_close(rolled, whole[:, t], rtol=0, atol=1e-5)
    for steps in cache.steps:
        assert steps.keys.shape[2] <= context  # memory does not grow with the episode


def test_reset_rows_begin_anew_and_the_others_go_on(make_model):
    model = make_model(context=6, layers=2)
    z, observations, previous = random_inputs(3, 40)
    rows = torch.tensor([False, True, False])
    with torch.no_grad():
        whole = model.actions(z, observations, previous).mode()[:, 0]
        fresh = previous[1:2, :, 11:].clone()
        fresh[:, :, 0] = 0
        second = model.actions(z[1:2], observations[1:2, :, 11:], fresh).mode()[0, 0]
        cache = model.begin(z)
        for t in range(40):
            if t == 11:
                cache.reset(rows)
            # The caller still passes the old episode's action: it must not reach the new one.
            action = model.step(cache, observations[:, 0, t], previous[:, 0, t]).mode()
            torch.testing.assert_close(action[[0, 2]], whole[[0, 2], t], rtol=0, atol=1e-5)
            if t >= 11:
                torch.testing.assert_close(action[1], second[t - 11], rtol=0, atol=1e-5)


def test_segments_with_burn_in_equal_the_whole_trajectory(make_model, dataset):
    model = make_model(context=7, layers=3)
    config = SamplerConfig(batch_trajectories=8, segments=5, segment_steps=4)
    sampler = TrajectorySampler(dataset, config, context=7, seed=0)
    index = torch.arange(dataset.num_trajectories)
    z = torch.randn(len(index), 2, 8, generator=torch.Generator().manual_seed(0))
    compared = 0
    with torch.no_grad():
        all_steps = sampler.whole(index)
        whole = model.actions(z, all_steps.observations, all_steps.previous_actions).mode()[:, 0]
        for _ in range(5):
            batch = sampler.resegment(index)
            part = model.actions(z, batch.observations, batch.previous_actions).mode()
            row, segment, place = (batch.weight > 0).nonzero(as_tuple=True)
            # No two steps have the same observation, so it says which step each of them is.
            seen = batch.observations[row, segment, place]
            same = (all_steps.observations[row, 0] == seen[:, None]).all(-1)
            assert (same.sum(-1) == 1).all()
            want = whole[row, same.int().argmax(-1)]
            torch.testing.assert_close(part[row, segment, place], want, rtol=0, atol=1e-5)
            compared += len(row)
    assert compared > 500


@pytest.mark.parametrize("window", [1, 4])
def test_attention_layer_step_equals_its_forward_past_its_window(window):
    torch.manual_seed(0)
    layer = BandedSelfAttention(8, 2, window).eval()
    x = torch.randn(2, 30, 8)
    with torch.no_grad():
        whole, cache = layer(x), layer.cache(2)
        for t in range(30):
            out = layer.step(x[:, t : t + 1], cache, torch.tensor([t, t]))
            torch.testing.assert_close(out[:, 0], whole[:, t], rtol=0, atol=1e-5)
