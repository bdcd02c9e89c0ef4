"""Checkpoints made to mislead: refused in one line before anything of their size is allocated."""

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lpt.checkpoint.files import (
    POLICY_JSON,
    POLICY_TENSORS,
    TRAINING_JSON,
    load_training_state,
    save_checkpoint,
)
from lpt.config import Config, from_tree, read_config, to_tree
from lpt.evaluation import LPTPolicy
from lpt.training import resume


@pytest.fixture
def checkpoint(make_policy_model, make_metadata, tmp_path) -> Path:
    """A whole checkpoint of a small policy."""
    model = make_policy_model()
    tree = to_tree(Config(task="maze2d-umaze", model=model.config))
    metadata = make_metadata({"model": tree["model"]})
    return save_checkpoint(tmp_path, 10, model.state_dict(), metadata, {}, {"updates": 10})


def change(path: Path, **entries: Any) -> None:
    """Change entries of a JSON file, by dotted names (dots are written as two underscores)."""
    record = json.loads(path.read_text())
    for name, value in entries.items():
        *groups, last = name.split("__")
        place = record
        for group in groups:
            place = place[group]
        place[last] = value
    path.write_text(json.dumps(record))


def refused(act: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        act()
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "entries",
    [
        {"observation_std": [1.0, 0.0, 1.0, 1.0]},
        {"observation_std": [1.0, -1.0, 1.0, 1.0]},
        {"observation_std": [1.0, float("nan"), 1.0, 1.0]},
        {"observation_std": [1.0, 1.0, 1.0]},
        {"observation_mean": [float("inf"), 1.0, 1.0, 1.0]},
        {"observation_mean": "1111"},
        {"observation_mean": None},
        {"return_std": 0},
        {"return_std": float("nan")},
        {"return_mean": float("inf")},
        {"return_quantiles": [1, 2]},
        {"return_quantiles__q99": None},
        {"spaces": "observation_dim action_dim discrete"},
        {"spaces__observation_dim": 0},
        {"spaces__observation_dim": -4},
        {"spaces__observation_dim": 10**12},
        {"spaces__action_dim": 10**12},
        {"spaces__discrete": [1]},
        {"updates": -1},
        {"updates": 1e300},
        {"seed": "x"},
        {"env_id": 5},
        {"task": None},
        {"task": "\x1b[2J"},
        {"provenance": {"id": "two\nlines"}},
        {"algorithm": "magic"},
        {"algorithm": []},
        {"versions": [1]},
        {"provenance": 5},
        {"provenance": {"details": 5}},
        {"provenance": {"details": {"env_kwargs": []}}},
        {"provenance": {"details": {"action_bounds": [[-1.0], [1.0]]}}},
        {"provenance": {"details": {"action_bounds": "x"}}},
        {"config": None},
        {"config": []},
        {"config__task": "../up"},
        {"config__engine": {}},
        {"config__model": {"width": 16, "heads": 0}},
        {"config__model__layers": 10**9},
        {"config__model__context": 10**12},
        {"config__model__prior_multipliers": [1] * 100},
        {"config__model__prior_multipliers": [10**9]},
        {"config__evaluation__episodes": 10**9},
        {"config__planning__draws": 10**9},
        {"config__training__threads": 10**9},
        {"format": 3},
        {"format": None},
        {"format": [2]},
    ],
    ids=str,
)
def test_entries_of_policy_json_are_checked(checkpoint, entries):
    change(checkpoint / POLICY_JSON, **entries)
    refused(lambda: LPTPolicy.load(checkpoint), r"policy\.json")


@pytest.mark.parametrize(
    "entries",
    [
        {"config__model__width": 1 << 16, "config__model__heads": 1},
        {"config__model__layers": 1000},
        {"config__model__plan_tokens": 1 << 16},
        {"config__model__return_hidden": 1 << 16},
        {"config__model__remembered_plans": 1 << 24},
        {"config__model__prior_width": 1 << 14},
        {"config__model__prior_width": 0},
        {"config__model__likelihood": "categorical"},
        {"spaces__action_dim": 1 << 16},
        {"algorithm": "bc", "config__algorithm": "bc"},
    ],
    ids=str,
)
def test_models_that_the_weights_do_not_fit_are_never_built(checkpoint, entries):
    change(checkpoint / POLICY_JSON, **entries)
    tracemalloc.start()
    try:
        refused(lambda: LPTPolicy.load(checkpoint), "weights do not fit|likelihood")
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "[]", "\ud800"])
@pytest.mark.parametrize("name", [POLICY_JSON, TRAINING_JSON])
def test_json_that_is_none_or_nested_too_deeply(checkpoint, name, text):
    (checkpoint / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    act = LPTPolicy.load if name == POLICY_JSON else load_training_state
    refused(lambda: act(checkpoint), f"{name} is damaged")


def test_records_of_any_length_and_pipes_are_not_read(checkpoint):
    (checkpoint / POLICY_JSON).write_text(" " * (5 << 20))
    refused(lambda: LPTPolicy.load(checkpoint), "larger than 4194304 bytes")
    (checkpoint / POLICY_JSON).unlink()
    os.mkfifo(checkpoint / POLICY_JSON)
    with pytest.raises(FileNotFoundError, match=r"policy\.json is missing"):
        LPTPolicy.load(checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(checkpoint, value):
    tensors = load_file(checkpoint / POLICY_TENSORS)
    name = next(name for name in tensors if tensors[name].ndim)
    tensors[name].view(-1)[0] = value
    save_file(tensors, checkpoint / POLICY_TENSORS)
    refused(lambda: LPTPolicy.load(checkpoint), f"weight {name} has entries that are no finite")


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 1000,
        b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":5}',
        b"{}",
    ],
)
def test_headers_of_safetensors_that_lie(checkpoint, header):
    (checkpoint / POLICY_TENSORS).write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    refused(lambda: LPTPolicy.load(checkpoint), "is damaged|do not fit")


@pytest.mark.parametrize(
    "entries",
    [
        {"updates": -1},
        {"updates": "x"},
        {"updates": None},
        {"wall_seconds": float("nan")},
        {"wall_seconds": -1.0},
        {"sampler": 5},
        {"trajectories": "many"},
        {"best_return": float("inf")},
    ],
    ids=str,
)
def test_entries_of_training_json_are_checked(checkpoint, entries):
    change(checkpoint / TRAINING_JSON, **entries)
    refused(lambda: load_training_state(checkpoint), r"training\.json")


@pytest.mark.parametrize(
    "entries",
    [
        {"sampler": {}},
        {"sampler": {"generator": 5}},
        {"sampler__generator__state": 5},
        {"sampler__generator__bit_generator": "MT19937"},
    ],
    ids=str,
)
def test_a_training_state_of_nothing_is_not_resumed(umaze, tmp_path, flags, lpt_train, entries):
    assert lpt_train(flags(umaze, tmp_path / "run", updates=1)) == 0
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    change(checkpoint / TRAINING_JSON, **entries)
    refused(lambda: resume(tmp_path / "run", log=str), "training state is not that of a run|state")


def test_a_training_state_that_lacks_an_entry_is_not_resumed(umaze, tmp_path, flags, lpt_train):
    assert lpt_train(flags(umaze, tmp_path / "run", updates=1)) == 0
    (path,) = (tmp_path / "run").glob("checkpoints/*/training.json")
    record = json.loads(path.read_text())
    for name in ("updates", "sampler", "wall_seconds", "best_return"):
        path.write_text(json.dumps({key: value for key, value in record.items() if key != name}))
        refused(lambda: resume(tmp_path / "run", log=str), f"not that of a run .KeyError: '{name}'")


def test_a_training_state_without_its_tensors_is_not_resumed(umaze, tmp_path, flags, lpt_train):
    assert lpt_train(flags(umaze, tmp_path / "run", updates=1)) == 0
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    tensors = load_file(checkpoint / "training.safetensors")
    for name in ("rng.noise", "rng.torch"):
        for wrong in (None, torch.zeros(3)):
            changed = {key: value for key, value in tensors.items() if key != name}
            changed |= {} if wrong is None else {name: wrong}
            save_file(changed, checkpoint / "training.safetensors")
            refused(lambda: resume(tmp_path / "run", log=str), "training state is not that of a")


BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (BOMB, "aliases"),
        ("[" * 50_000, "is not YAML"),
        ("task: 2001-99-99", "is not YAML"),
        ("task: !!python/object/apply:os.system [true]", "is not YAML"),
        ("a" * 100_001, "larger than 100000 bytes"),
        ("task: a\n1: 2", "1 is no setting's name"),
        ("task: a\nmodel: {1: 2}", "model.1"),
        ("task: a\ninference: [1]", "engine=\\[1\\]"),
        ('task: "a\\0b"', "--task"),
        ("task: a\nmodel: {dropout: 2}", "model.dropout=2"),
        ("task: a\nproposal: {heads: 0}", "proposal.heads=0"),
        ("task: a\nproposal: {width: 10, heads: 4}", "multiple of proposal.heads"),
        ("task: a\nmodel: {prior_multipliers: []}", "prior_multipliers"),
        ("task: a\nmodel: {prior_width: -4}", "prior_width=-4"),
        ("task: a\ndataset: {horizon: -1}", "dataset.horizon=-1"),
    ],
)
def test_configurations_that_mislead(tmp_path, text, match):
    (tmp_path / "config.yaml").write_text(text)
    refused(lambda: read_config(tmp_path / "config.yaml"), match)


def test_a_tree_of_other_keys_is_refused():
    refused(lambda: from_tree({"task": "a", None: 1}), "None is no setting's name")
