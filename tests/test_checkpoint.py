"""Checkpoints survive kills, refuse damaged files with a useful word, and never run code."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from lpt.checkpoint import PolicyMetadata
from lpt.checkpoint.files import (
    latest_checkpoint,
    list_checkpoints,
    load_policy_files,
    load_training_state,
    policy_folder,
    save_checkpoint,
    save_policy,
)


@pytest.fixture(scope="module")
def save(make_metadata):
    """`save(run, updates, value=0)`: a checkpoint whose weights are that value."""

    def make(run: Path, updates: int, value: float = 0.0) -> Path:
        state = {"weight": torch.full((3,), value), "bias": torch.ones(())}
        training = {"rng": torch.arange(5, dtype=torch.uint8), "raw.weight": state["weight"]}
        metadata = make_metadata(updates=updates)
        return save_checkpoint(run, updates, state, metadata, training, {"updates": updates})

    return make


def test_metadata_survives_json(make_metadata):
    metadata = make_metadata()
    assert PolicyMetadata.from_dict(json.loads(json.dumps(metadata.to_dict()))) == metadata
    assert metadata.versions["torch"] and metadata.versions["python"]


def test_checkpoint_round_trip(tmp_path, save):
    folder = save(tmp_path, 1000, 2.5)
    assert folder == tmp_path / "checkpoints" / "00001000"
    for path in (tmp_path, folder):
        state, metadata = load_policy_files(path)
        assert torch.equal(state["weight"], torch.full((3,), 2.5)) and metadata.updates == 1000
        tensors, record = load_training_state(path)
        assert tensors["rng"].dtype == torch.uint8 and record == {"updates": 1000}


def test_shared_and_strided_tensors_are_stored(tmp_path, make_metadata):
    base = torch.arange(12.0).view(3, 4)
    state = {"a": base, "b": base.T, "c": base[1:]}
    save_policy(tmp_path / "best", state, make_metadata())
    loaded, _ = load_policy_files(tmp_path, "best")
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_older_checkpoints_are_pruned_and_the_newest_wins(tmp_path, save):
    for updates in (9, 10, 200, 1000):
        save(tmp_path, updates)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["00000200", "00001000"]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["00000200", "00001000"]


def test_same_update_and_best_are_replaced(tmp_path, make_metadata, save):
    for value in (1.0, 2.0):
        save(tmp_path, 5, value)
        save_policy(tmp_path / "best", {"weight": torch.tensor(value)}, make_metadata())
    assert load_policy_files(tmp_path)[0]["weight"][0] == 2.0
    assert load_policy_files(tmp_path, "best")[0]["weight"] == 2.0
    assert sorted(os.listdir(tmp_path)) == ["best", "checkpoints"]


def test_replaced_folders_are_found_if_killed_between_the_renames(tmp_path, make_metadata, save):
    save(tmp_path, 5).rename(tmp_path / "checkpoints" / ".old-00000005")
    best = save_policy(tmp_path / "best", {"weight": torch.ones(1)}, make_metadata())
    best.rename(tmp_path / ".old-best")
    assert load_policy_files(tmp_path)[1].updates == 5
    assert load_policy_files(tmp_path, "best")[0]["weight"] == 1


def test_temporary_and_incomplete_folders_are_ignored(tmp_path, save):
    whole = save(tmp_path, 5)
    (tmp_path / "checkpoints" / ".tmp-00000009-1").mkdir()
    (tmp_path / "checkpoints" / "00000008").mkdir()
    (tmp_path / "checkpoints" / "00000008" / "policy.json").write_text("{}")
    assert latest_checkpoint(tmp_path) == whole
    save(tmp_path, 6)
    assert not (tmp_path / "checkpoints" / ".tmp-00000009-1").exists()


def test_missing_runs_and_checkpoints_say_what_is_there(tmp_path, save):
    (tmp_path / "umaze").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no run at .*nothere.*holds umaze/"):
        latest_checkpoint(tmp_path / "nothere")
    (tmp_path / "umaze" / "config.yaml").write_text("a: 1")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint: it holds config.yaml"):
        load_policy_files(tmp_path / "umaze")
    save(tmp_path / "umaze", 5)
    with pytest.raises(FileNotFoundError, match=r"no best checkpoint.*which='last'"):
        load_policy_files(tmp_path / "umaze", "best")
    with pytest.raises(ValueError, match="which='first' must be"):
        policy_folder(tmp_path / "umaze", "first")  # type: ignore[arg-type]


def test_policy_only_folder_cannot_be_resumed(tmp_path, make_metadata):
    best = save_policy(tmp_path / "best", {"weight": torch.ones(1)}, make_metadata())
    with pytest.raises(FileNotFoundError, match=r"training.safetensors is missing"):
        load_training_state(best)


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.json"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_files_are_named_with_the_mend(tmp_path, name, damage, save):
    save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    content = path.read_bytes()
    new = {
        "truncated": content[: len(content) // 2],
        "garbage": b"\x80\x04cos\nsystem\n",
        "empty": b"",
    }
    path.write_bytes(new[damage])
    with pytest.raises(ValueError, match=rf"{name} is damaged .*load .*00000001 instead"):
        load_policy_files(tmp_path)


def test_missing_fields_and_other_formats_are_refused(tmp_path, save):
    path = save(tmp_path, 1) / "policy.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(ValueError, match=r"policy.json: format version 99, .* reads 1 and 2"):
        load_policy_files(tmp_path)
    del record["return_mean"], record["spaces"]["discrete"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"missing return_mean, spaces.discrete"):
        load_policy_files(tmp_path)


def test_kill_during_a_save_leaves_the_previous_checkpoint(tmp_path, make_metadata, forks):
    record, run, last = tmp_path / "metadata.json", tmp_path / "run", 0
    record.write_text(json.dumps(make_metadata().to_dict()))
    for kill in range(4):
        saver = forks.start("helpers.saver", run, record, last)
        saver.until(lambda it=saver: it.said)
        time.sleep(0.003 * kill)  # a save is done and the next one under way
        saver.signal(signal.SIGKILL)
        assert saver.wait() == -signal.SIGKILL
        last = int(saver.said.split()[-1])
        state, metadata = load_policy_files(run)
        tensors, values = load_training_state(run)
        # The save after the last printed one may have been renamed, but not yet printed.
        made = metadata.updates
        assert made in (last, last + 1) and values["updates"] == made
        assert (state["weight"] == made).all() and (tensors["raw"] == made).all()
        last = made
