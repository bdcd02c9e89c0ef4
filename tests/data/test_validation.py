"""Each malformed field gets an error that names the data, the field and the mend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpt.config import DatasetConfig
from lpt.data import Provenance, TrajectoryDataset

ORIGIN = Provenance("npz", "mine", details={"path": "/data/mine.npz"})


def build(arrays, **options):
    return TrajectoryDataset.from_steps(**arrays, provenance=ORIGIN, **options)


def wrong(field, value):
    return lambda arrays: arrays.update({field: value(arrays[field])})


CASES = {
    "observations flat": (wrong("observations", lambda x: x[:, 0]), "observations", r"shape \[9\]"),
    "observations deep": (wrong("observations", lambda x: x[None]), "observations", "flatten"),
    "observations empty": (wrong("observations", lambda x: x[:0]), "observations", "is empty"),
    "observations objects": (
        wrong("observations", lambda x: x.astype(object)),
        "observations",
        "has type object",
    ),
    "rewards text": (wrong("rewards", lambda x: x.astype(str)), "rewards", "expected real numbers"),
    "rewards short": (wrong("rewards", lambda x: x[:-1]), "rewards", "has 8 steps where .* has 9"),
    "rewards square": (
        wrong("rewards", lambda x: np.stack([x, x], 1)),
        "rewards",
        "one number per step",
    ),
    "actions short": (wrong("actions", lambda x: x[:-2]), "actions", "has 7 steps where .* has 9"),
    "actions scalar": (wrong("actions", lambda x: 0.0), "actions", "has no steps"),
    "actions deep": (wrong("actions", lambda x: x[:, None]), "actions", "Flatten each action"),
    "actions large": (wrong("actions", lambda x: 2 + x), "actions", "RescaleAction"),
    "actions integers": (
        wrong("actions", lambda x: np.ones((9, 2), int)),
        "actions",
        "integers .* where continuous actions are configured",
    ),
    "terminals short": (wrong("terminals", lambda x: x[:-1]), "terminals", "has 8 steps"),
    "terminals not flags": (wrong("terminals", lambda x: 2 + x), "terminals", "other than 0 and 1"),
    "timeouts short": (wrong("timeouts", lambda x: x[:-1]), "timeouts", "has 8 steps"),
    "no end": (
        lambda a: a.update(terminals=np.zeros(9), timeouts=np.zeros(9)),
        "terminals/timeouts",
        "no trajectory ends.*offsets",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed_fields_are_named(steps, case):
    spoil, field, text = CASES[case]
    arrays = steps([4, 5])
    spoil(arrays)
    with pytest.raises(ValueError, match=text) as error:
        build(arrays)
    assert str(error.value).startswith(f"/data/mine.npz: field '{field}'")


@given(
    field=st.sampled_from(["observations", "actions", "rewards"]),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
    step=st.integers(0, 8),
)
def test_one_bad_number_anywhere_is_found(field, value, step):
    arrays = {
        "observations": np.ones((9, 3), np.float32),
        "actions": np.zeros((9, 2), np.float32),
        "rewards": np.zeros(9, np.float32),
        "terminals": np.zeros(9, bool),
        "timeouts": np.arange(9) == 8,
    }
    arrays[field][step] = value
    text = rf"'{field}' has \d NaN or infinite entries in float32, the first at step {step}"
    with pytest.raises(ValueError, match=text):
        build(arrays)


def test_opposite_infinities_do_not_cancel(steps):
    arrays = steps([4, 5])
    arrays["rewards"][:2] = np.inf, -np.inf
    with pytest.raises(ValueError, match="'rewards' has 2 NaN or infinite"):
        build(arrays)


def test_numbers_too_large_for_float32_are_found(steps):
    arrays = steps([4, 5])
    arrays["observations"] = arrays["observations"].astype(np.float64)
    arrays["observations"][3, 1] = 1e300
    with pytest.raises(ValueError, match=r"'observations' has 1 .* in float32, .* step 3"):
        build(arrays)


def test_the_configured_kind_of_action_is_enforced(steps):
    continuous, discrete = steps([4, 5]), steps([4, 5], discrete=True)
    with pytest.raises(ValueError, match=r"'actions' holds float32 .*discrete actions are conf"):
        build(continuous, discrete=True)
    with pytest.raises(ValueError, match=r"'actions' holds integers .*continuous actions are conf"):
        build(discrete, discrete=False)
    whole_floats = {**discrete, "actions": discrete["actions"].astype(np.float32)}
    assert build(whole_floats, discrete=True).discrete
    assert build({**discrete, "actions": discrete["actions"][:, None]}).discrete


def test_discrete_actions_out_of_range(steps):
    arrays = steps([40, 5], discrete=True)
    with pytest.raises(ValueError, match=r"numbers from 0 to 3, expected 0 to 2"):
        build(arrays, num_actions=3)
    with pytest.raises(ValueError, match=r"numbers from -1 to 2.*Number the actions from 0"):
        build({**arrays, "actions": arrays["actions"] - 1})


def test_rounding_beyond_the_action_bound_is_tolerated(steps):
    arrays = steps([4, 5])
    arrays["actions"][0] = 1.0005
    assert build(arrays).num_steps == 9


def test_flat_continuous_actions_and_column_rewards_are_accepted(steps):
    arrays = steps([4, 5])
    arrays["actions"] = arrays["actions"][:, 0]
    arrays["rewards"] = arrays["rewards"][:, None]
    dataset = build(arrays)
    assert dataset.actions.shape == (9, 1) and dataset.rewards.shape == (9,)


@pytest.mark.parametrize(
    ("offsets", "text"),
    [
        ([0, 4, 8], "runs from 0 to 8, expected from 0 to 9"),
        ([1, 9], "runs from 1 to 9"),
        ([0, 4, 4, 9], r"does not increase at entry 2 \(an empty trajectory\)"),
        ([0.0, 9.0], "expected integers"),
        ([0], "expected integers"),
    ],
)
def test_malformed_offsets(steps, offsets, text):
    arrays = steps([4, 5])
    with pytest.raises(ValueError, match=rf"mine\.npz: field 'offsets' .*{text}"):
        TrajectoryDataset.from_offsets(
            arrays["observations"],
            arrays["actions"],
            arrays["rewards"],
            np.array(offsets),
            provenance=ORIGIN,
            config=DatasetConfig(),
        )
