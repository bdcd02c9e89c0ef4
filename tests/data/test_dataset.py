import json
import time
from dataclasses import replace

import numpy as np
import pytest

from lpt.config import DatasetConfig
from lpt.data import Provenance, TrajectoryDataset


def test_arrays_are_taken_over_without_copy_and_read_only(steps):
    arrays = steps([3, 5, 2])
    dataset = TrajectoryDataset.from_steps(**arrays)
    for name in ("observations", "actions", "rewards"):
        assert np.shares_memory(getattr(dataset, name), arrays[name])
        with pytest.raises(ValueError, match="read-only"):
            getattr(dataset, name)[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        dataset.returns[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        dataset.observation_mean[0] = 0
    arrays["rewards"][0] = 7  # the caller's own array stays writable
    assert dataset.observations.dtype == dataset.returns.dtype == np.float32


def test_sizes_and_trajectories(steps):
    arrays = steps([3, 5, 2])
    dataset = TrajectoryDataset.from_steps(**arrays)
    assert dataset.num_trajectories == len(dataset) == 3
    assert (dataset.num_steps, dataset.observation_dim, dataset.action_dim) == (10, 3, 2)
    assert dataset.lengths.tolist() == [3, 5, 2]
    assert dataset.offsets.tolist() == [0, 3, 8, 10]
    one = dataset.trajectory(1)
    assert len(one) == 5 and not one.terminated
    np.testing.assert_array_equal(one.observations, arrays["observations"][3:8])
    assert one.ret == pytest.approx(arrays["rewards"][3:8].sum(dtype=np.float64), rel=1e-6)
    assert dataset.trajectory(0).terminated
    with pytest.raises(IndexError, match="expected 0 to 2"):
        dataset.trajectory(3)


def test_statistics_agree_with_numpy(make_dataset):
    dataset = make_dataset([40_000, 3, 700])
    observations = dataset.observations.astype(np.float64)
    np.testing.assert_allclose(dataset.observation_mean, observations.mean(0), rtol=1e-5)
    np.testing.assert_allclose(dataset.observation_std, observations.std(0), rtol=1e-5)
    assert dataset.return_mean == pytest.approx(dataset.returns.mean(), rel=1e-5)
    assert dataset.return_std == pytest.approx(dataset.returns.std(), rel=1e-5)


def test_statistics_survive_constant_and_large_entries(steps):
    arrays = steps([4, 4])
    arrays["observations"][:, 0] = 1e6
    arrays["observations"][:, 1] = 1e6 + np.arange(8)
    arrays["observations"][:, 2] = 1e-6 * np.arange(8)
    arrays["rewards"][:] = 0.1
    dataset = TrajectoryDataset.from_steps(**arrays)
    std = dataset.observation_std
    assert std[0] == 1.0  # never changes
    assert std[1] == pytest.approx(np.arange(8).std(), rel=1e-5)  # no cancellation
    assert std[2] == pytest.approx(1e-3)  # floor
    assert dataset.return_std == 1.0  # all labels equal


def test_standardization_can_be_switched_off(make_dataset):
    dataset = make_dataset([4, 4], config=DatasetConfig(standardize_observations=False))
    assert dataset.observation_mean.tolist() == [0, 0, 0]
    assert dataset.observation_std.tolist() == [1, 1, 1]


def test_discrete_actions(make_dataset):
    dataset = make_dataset([30, 30], discrete=True)
    assert dataset.discrete and dataset.action_dim == dataset.num_actions == 4
    assert dataset.actions.dtype == np.int64
    assert make_dataset([30], discrete=True, num_actions=7).action_dim == 7
    assert not make_dataset([3]).discrete


def test_short_trajectories_are_dropped_and_counted(steps):
    arrays = steps([1, 6, 2, 8])
    dataset = TrajectoryDataset.from_steps(**arrays, config=DatasetConfig(min_length=3))
    assert dataset.lengths.tolist() == [6, 8]
    np.testing.assert_array_equal(dataset.trajectory(1).rewards, arrays["rewards"][9:])
    assert dataset.trajectory(1).terminated and not dataset.trajectory(0).terminated
    assert dataset.provenance.details["dropped_short_trajectories"] == 2
    with pytest.raises(ValueError, match=r"min_length=9 .*longest has 8 steps.*Lower"):
        TrajectoryDataset.from_steps(**arrays, config=DatasetConfig(min_length=9))


def test_fingerprint_depends_on_every_array_and_nothing_else(steps):
    arrays = steps([3, 5, 2])
    base = TrajectoryDataset.from_steps(**arrays).provenance.fingerprint
    assert len(base) == 64
    same = {k: np.array(v, order="F", copy=True) for k, v in arrays.items()}
    other = Provenance("npz", "other", details={"path": "elsewhere"})
    held = DatasetConfig(horizon=20, returns="held")
    again = TrajectoryDataset.from_steps(**same, provenance=other, config=held)
    assert again.provenance.fingerprint == base
    for name in ("observations", "actions", "rewards"):
        changed = {**arrays, name: arrays[name].copy()}
        changed[name].flat[0] += 0.01
        assert TrajectoryDataset.from_steps(**changed).provenance.fingerprint != base
    flags = {"terminals": arrays["timeouts"], "timeouts": arrays["terminals"]}
    swapped = TrajectoryDataset.from_steps(**{**arrays, **flags})
    assert swapped.provenance.fingerprint != base


def test_provenance_is_json(make_dataset):
    origin = Provenance("regenerated", "maze2d-umaze", "lpt_envs:x", details={"seed": 3})
    dataset = make_dataset([4, 4], provenance=origin, config=DatasetConfig(horizon=9))
    record = dataset.provenance
    assert record == replace(origin, fingerprint=record.fingerprint, details=record.details)
    assert record.details["seed"] == 3 and record.details["horizon"] == 9
    assert Provenance.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert origin.details == {"seed": 3}  # the caller's record is left alone


def test_repr_says_what_it_is(make_dataset):
    dataset = make_dataset([4, 5], provenance=Provenance("npz", "mine", "Env-v0"))
    text = repr(dataset)
    for part in (
        "mine",
        "npz",
        dataset.provenance.fingerprint,
        "Env-v0",
        "2 trajectories, 9 steps",
    ):
        assert part in text


def test_a_million_steps_load_in_well_under_two_seconds():
    rng = np.random.default_rng(0)
    steps = 1_000_000
    arrays = {
        "observations": rng.standard_normal((steps, 17), dtype=np.float32),
        "actions": rng.uniform(-1, 1, (steps, 6)).astype(np.float32),
        "rewards": rng.random(steps, dtype=np.float32),
        "terminals": np.zeros(steps, bool),
        "timeouts": rng.random(steps) < 0.02,
    }
    start = time.process_time()
    dataset = TrajectoryDataset.from_steps(**arrays)
    assert dataset.observation_std.shape == (17,)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_steps": 3}, r"held_steps=3 .*\.returns is 'recorded': set returns to held"),
        ({"held_steps": -1, "returns": "held"}, "held_steps=-1 must be 0 or more"),
        ({"arrival_steps": 3}, r"arrival_steps=3 must be 0, or positive with dataset\.held"),
        ({"arrival_steps": -1}, "arrival_steps=-1 must be 0"),
        ({"rest": (0, -1)}, r"rest=\(0, -1\): expected numbers of observation entries"),
    ],
)
def test_held_steps_that_no_label_claims_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DatasetConfig(**options)


def test_held_steps_that_cannot_be_made_are_refused(make_dataset):
    held = DatasetConfig(returns="held", horizon=9, held_steps=2)
    with pytest.raises(ValueError, match=r"arrays: .*actions are discrete.*set held_steps to 0"):
        make_dataset([4], discrete=True, config=held)
    with pytest.raises(ValueError, match=r"rest=\(3,\), but observations have 3 entries, 0 to 2"):
        make_dataset([4], config=replace(held, rest=(3,)))


def test_held_steps_stay_with_the_best_trajectories(make_dataset):
    held = DatasetConfig(returns="held", horizon=9, held_steps=2)
    dataset = make_dataset([4, 5, 8, 3], config=held)  # the first and the last terminated
    assert dataset.learned_lengths.tolist() == [4, 7, 9, 3]
    order = np.sort(np.argsort(-dataset.returns)[:2])
    assert (dataset.best(0.5).learned_lengths == dataset.learned_lengths[order]).all()
    assert dataset.num_steps == 20 and not dataset.learned_lengths.flags.writeable
