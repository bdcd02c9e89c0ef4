"""Whole trajectories of unlike lengths are scored in groups, and nothing but padding is spared."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from lpt.model.grouping import like_lengths
from lpt.training import Trainer
from lpt.training.padding import in_groups


def padded(groups, lengths) -> int:
    return sum(len(rows) * int(lengths[rows].max()) for rows in groups)


def test_groups_hold_every_row_once_and_spare_what_they_promise():
    lengths = np.random.default_rng(0).integers(1, 100, size=64)
    groups = like_lengths(lengths, worth=50)
    assert sorted(np.concatenate(groups)) == list(range(64))
    assert all(lengths[a].max() <= lengths[b].min() for a, b in pairwise(groups))
    assert padded(groups, lengths) <= 64 * lengths.max() - 50 * (len(groups) - 1)


def test_two_kinds_of_length_make_two_groups():
    lengths = np.array([21, 4, 4, 20, 4, 21])
    groups = [sorted(rows) for rows in like_lengths(lengths, worth=10)]
    assert groups == [[1, 2, 4], [0, 3, 5]]


@pytest.mark.parametrize("lengths", [[7], [7, 7, 7], [0, 3, 5]])
def test_what_spares_too_little_stays_together(lengths):
    groups = like_lengths(np.array(lengths), worth=100)
    assert len(groups) == 1 and len(groups[0]) == len(lengths)


@pytest.mark.parametrize("context", [1, 5])
def test_scores_and_gradients_are_those_of_the_whole_batch(context, make_config, dataset):
    config = make_config(sampler={"segments": 0}, model={"context": context})
    trainer = Trainer(config, dataset, torch.device("cpu"))
    batch = trainer.batches.to_infer()
    z = torch.randn(len(batch.index), *trainer.model.plan_shape, requires_grad=True)
    shapes = []

    def score(plans, part):
        shapes.append(tuple(part.weight.shape))
        return trainer._score(plans, part)

    found = {}
    for worth in (10**9, 1):
        shapes.clear()
        scores = in_groups(score, z, batch, worth)
        wanted = [z, *(p for p in trainer.model.generator.parameters())]
        gradients = torch.autograd.grad(scores.sum(), wanted, allow_unused=True)
        found[worth] = [scores, *(g for g in gradients if g is not None)]
    assert len(shapes) > 1 and sum(rows * steps for rows, _, steps in shapes) < batch.weight.numel()
    for whole, grouped in zip(found[10**9], found[1], strict=True):
        torch.testing.assert_close(grouped, whole, rtol=1e-5, atol=1e-5)


def test_only_whole_trajectories_in_float32_on_a_cpu_are_grouped(make_config, dataset):
    cpu = torch.device("cpu")
    assert Trainer(make_config(), dataset, cpu)._grouped
    lower = make_config(training={"precision": "bfloat16"})
    assert not Trainer(lower, dataset, cpu)._grouped
