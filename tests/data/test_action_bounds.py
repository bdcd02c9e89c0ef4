"""Bounds of action spaces: mapped onto [-1, 1] and back, kept with the data, checked at rollout."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box

from lpt.algorithms.return_to_go import with_return_to_go
from lpt.data import Provenance, load
from lpt.data.action_bounds import ActionBounds
from lpt.data.formats.npz import write_npz
from lpt.evaluation.environments import check_spaces
from lpt.model.spaces import Spaces

LARGE = np.finfo(np.float32).max
PENDULUM = ActionBounds(np.float32([-2]), np.float32([2]))


@pytest.mark.parametrize(
    "space",
    [
        Box(-1, 1, (3,)),
        Box(-np.inf, np.inf, (3,)),
        Box(-LARGE, LARGE, (3,)),
        Box(0, 10, (3,), np.int64),
        gym.spaces.Discrete(3),
    ],
)
def test_bounds_that_say_nothing_leave_actions_as_they_are(space):
    assert ActionBounds.of_space(space) is None


def test_uneven_bounds_are_mapped_onto_the_unit_ones_and_back():
    space = Box(np.float32([-0.4, 0, -3]), np.float32([0.4, 5, -1]))
    bounds = ActionBounds.of_space(space)
    actions = np.stack([space.low, space.high, (space.low + space.high) / 2])
    unit = bounds.to_unit(actions)
    np.testing.assert_allclose(unit, [[-1] * 3, [1] * 3, [0] * 3], atol=1e-6)
    np.testing.assert_allclose(bounds.from_unit(unit), actions, atol=1e-6)
    stored = ActionBounds.of_details(json.loads(json.dumps({"action_bounds": bounds.to_details()})))
    assert space.contains(stored.from_unit(np.float32([1.0001, 1, 1])))


def test_a_dimension_without_bounds_stays_and_a_locked_one_is_zero():
    bounds = ActionBounds.of_space(Box(np.float32([-2, -np.inf, 0.5]), np.float32([2, 3, 0.5])))
    actions = np.float32([[2, 0.3, 0.5], [-1, -7, 0.5]])
    unit = bounds.to_unit(actions)
    np.testing.assert_array_equal(unit, np.float32([[1, 0.3, 0], [-0.5, -7, 0]]))
    np.testing.assert_array_equal(bounds.from_unit(unit)[0], actions[0])


def test_actions_of_a_float64_space_are_inside_it():
    space = Box(-0.1, 0.1, (1,), np.float64)
    bounds = ActionBounds.of_space(space)
    for unit in (-1, 1):
        assert space.low[0] <= float(bounds.from_unit(np.float32([unit]))[0]) <= space.high[0]


def test_files_and_return_to_go_keep_the_bounds(make_dataset, tmp_path):
    details = {"action_bounds": [[-2.0, -2.0], [2.0, 2.0]]}
    dataset = make_dataset([4, 7], provenance=Provenance("minari", "x", details=details))
    write_npz(tmp_path / "mine.npz", dataset)
    again = load(str(tmp_path / "mine.npz"))
    for one in (again, again.best(0.5), with_return_to_go(again)):
        assert one.provenance.details["action_bounds"] == details["action_bounds"]
    np.testing.assert_array_equal(again.actions, dataset.actions)  # files hold [-1, 1]


def test_environments_of_other_bounds():
    spaces = Spaces(observation_dim=3, action_dim=1, discrete=False)
    env = gym.make("Pendulum-v1")
    check_spaces(env, spaces, "pendulum", PENDULUM)
    with pytest.warns(UserWarning, match="RescaleAction"):
        check_spaces(env, spaces, "pendulum")
    rescaled = gym.wrappers.RescaleAction(env, -1, 1)
    check_spaces(rescaled, spaces, "pendulum")
    with pytest.raises(ValueError, match="the bounds of its data's environment"):
        check_spaces(rescaled, spaces, "pendulum", PENDULUM)
    env.close()
