"""A short attack on every reader; `make fuzz` is the long one (tests/fuzz/run.py)."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from targets import TARGETS, Attack

CORPUS = Path(__file__).parent / "corpus"
FINE = ("accepted", "refused")


@pytest.fixture(scope="module")
def attack() -> Iterator[Attack]:
    running = Attack()
    yield running
    running.close()


def test_the_seeds_themselves_are_accepted(attack):
    for name, seed in attack.seeds.items():
        assert attack.try_input(name, seed) == "accepted", name


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: path.name)
def test_what_once_was_wrong_is_right(attack, path):
    assert attack.try_input(path.parent.name, path.read_bytes()) in FINE


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_input_is_accepted_or_refused_in_one_line(attack, name, seed):
    data = attack.make(name, Random(seed))
    assert attack.try_input(name, data) in FINE
