"""The environment and its data against D4RL's published figures; full-size runs are slow."""

import maze2d_reference as reference
import pytest

from lpt_envs.waypoint import generate, rollout_fresh_controller

# mean return of a fresh controller in each episode
CEILINGS = {"umaze": 222, "medium": 419, "large": 557}


@pytest.mark.parametrize("name", reference.MAXIMA)
def test_published_maxima_replay_exactly(name):
    sparse, dense = reference.MAXIMA[name]
    found_sparse, found_dense = reference.replay(name)
    assert found_sparse == pytest.approx(sparse, abs=1e-9)
    # the table prints the evaluation mazes to 4 decimals, the others in full
    assert found_dense == pytest.approx(dense, abs=6e-5 if name.endswith("eval") else 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", reference.FULL_SIZE)
def test_full_size_data_pass_the_gates(name):
    reference.check_gates(name, reference.statistics(generate(name, reference.FULL_SIZE[name])))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_fresh_controller_sets_the_ceiling(name, ceiling):
    assert rollout_fresh_controller(name, episodes=500).mean() == pytest.approx(ceiling, rel=0.02)
