"""Checkpoints survive kills, refuse damaged files with a useful word, and never run code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_policies import make_metadata

from lpt.checkpoint import (
    PolicyMetadata,
    latest_checkpoint,
    list_checkpoints,
    load_policy_files,
    load_training_state,
    policy_folder,
    save_checkpoint,
    save_policy,
)


def save(run: Path, step: int, value: float = 0.0, **kwargs) -> Path:
    state = {"weight": torch.full((3,), value), "bias": torch.ones(())}
    training = {"rng": torch.arange(5, dtype=torch.uint8), "raw.weight": state["weight"]}
    return save_checkpoint(
        run, step, state, make_metadata(step=step), training, {"step": step}, **kwargs
    )


def test_metadata_survives_json():
    metadata = make_metadata()
    assert PolicyMetadata.from_dict(json.loads(json.dumps(metadata.to_dict()))) == metadata
    assert metadata.versions["torch"] and metadata.versions["python"]


def test_checkpoint_round_trip(tmp_path):
    folder = save(tmp_path, 1000, 2.5)
    assert folder == tmp_path / "checkpoints" / "00001000"
    for path in (tmp_path, folder):
        state, metadata = load_policy_files(path)
        assert torch.equal(state["weight"], torch.full((3,), 2.5)) and metadata.step == 1000
        tensors, record = load_training_state(path)
        assert tensors["rng"].dtype == torch.uint8 and record == {"step": 1000}


def test_shared_and_strided_tensors_are_stored(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    state = {"a": base, "b": base.T, "c": base[1:]}
    save_policy(tmp_path / "best", state, make_metadata())
    loaded, _ = load_policy_files(tmp_path, "best")
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_older_checkpoints_are_pruned_and_the_newest_wins(tmp_path):
    for step in (9, 10, 200, 1000):
        save(tmp_path, step)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["00000200", "00001000"]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["00000200", "00001000"]


def test_same_step_and_best_are_replaced(tmp_path):
    for value in (1.0, 2.0):
        save(tmp_path, 5, value)
        save_policy(tmp_path / "best", {"weight": torch.tensor(value)}, make_metadata())
    assert load_policy_files(tmp_path)[0]["weight"][0] == 2.0
    assert load_policy_files(tmp_path, "best")[0]["weight"] == 2.0
    assert sorted(os.listdir(tmp_path)) == ["best", "checkpoints"]


def test_replaced_folders_are_found_if_killed_between_the_renames(tmp_path):
    save(tmp_path, 5).rename(tmp_path / "checkpoints" / ".old-00000005")
    best = save_policy(tmp_path / "best", {"weight": torch.ones(1)}, make_metadata())
    best.rename(tmp_path / ".old-best")
    assert load_policy_files(tmp_path)[1].step == 5
    assert load_policy_files(tmp_path, "best")[0]["weight"] == 1


def test_temporary_and_incomplete_folders_are_ignored(tmp_path):
    whole = save(tmp_path, 5)
    (tmp_path / "checkpoints" / ".tmp-00000009-1").mkdir()
    (tmp_path / "checkpoints" / "00000008").mkdir()
    (tmp_path / "checkpoints" / "00000008" / "policy.json").write_text("{}")
    assert latest_checkpoint(tmp_path) == whole
    save(tmp_path, 6)
    assert not (tmp_path / "checkpoints" / ".tmp-00000009-1").exists()


def test_missing_runs_and_checkpoints_say_what_is_there(tmp_path):
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


def test_policy_only_folder_cannot_be_resumed(tmp_path):
    best = save_policy(tmp_path / "best", {"weight": torch.ones(1)}, make_metadata())
    with pytest.raises(FileNotFoundError, match=r"training.safetensors is missing"):
        load_training_state(best)


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.json"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_files_are_named_with_the_mend(tmp_path, name, damage):
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


def test_missing_fields_and_other_formats_are_refused(tmp_path):
    path = save(tmp_path, 1) / "policy.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(ValueError, match=r"policy.json: format version 99, .* reads 1"):
        load_policy_files(tmp_path)
    del record["return_mean"], record["spaces"]["discrete"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"missing return_mean, spaces.discrete"):
        load_policy_files(tmp_path)


SAVER = """
import sys
sys.path.insert(0, {tests!r})
import torch
from small_policies import make_metadata
from lpt.checkpoint import save_checkpoint
step = int(sys.argv[2])
while True:
    step += 1
    big = torch.full((300_000,), float(step))
    metadata = make_metadata(step=step)
    tensors = {{"raw": big}}
    save_checkpoint(sys.argv[1], step, {{"weight": big}}, metadata, tensors, {{"step": step}})
    print(step, flush=True)
"""


def test_kill_during_a_save_leaves_the_previous_checkpoint(tmp_path):
    code = SAVER.format(tests=str(Path(__file__).parent))
    last = 0
    for kill in range(4):
        command = [sys.executable, "-c", code, str(tmp_path), str(last)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        last = int(process.stdout.readline())  # a save is done and the next one under way
        time.sleep(0.003 * kill)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = int(rest[-1]) if rest else last
        state, metadata = load_policy_files(tmp_path)
        tensors, record = load_training_state(tmp_path)
        # The save after the last printed one may have been renamed, but not yet printed.
        assert metadata.step in (last, last + 1)
        assert record["step"] == metadata.step
        assert (state["weight"] == metadata.step).all() and (tensors["raw"] == metadata.step).all()
        last = metadata.step
