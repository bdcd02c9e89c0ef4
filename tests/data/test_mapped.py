"""Folders of memory maps: the same data, trained on alike, in bounded memory."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import latest_checkpoint, load_training_state
from lpt.cli.data import main
from lpt.config import DatasetConfig, SamplerConfig
from lpt.data import (
    Provenance,
    TrajectoryDataset,
    TrajectorySampler,
    convert,
    load,
    read_file,
    read_mapped,
    sampling,
    write_d4rl,
    write_mapped,
    write_minari,
    write_npz,
)
from lpt.data import blocks as blocks_module
from lpt.data.blocks import blocks, read_scattered, release, scratch, select, trajectory_blocks
from lpt.data.formats.mapped import verify
from lpt.data.rewards import pay_once

ARRAYS = ("observations", "actions", "rewards", "offsets", "returns", "terminated")
MAZE = "lpt_envs:lpt/Maze2D-umaze-v1"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Every array here is read in many blocks."""
    monkeypatch.setattr(blocks_module, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(blocks_module, "_BLOCK_STEPS", 5)


def same(a: TrajectoryDataset, b: TrajectoryDataset) -> None:
    for name in (*ARRAYS, "observation_mean", "observation_std"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
        assert getattr(a, name).dtype == getattr(b, name).dtype
        assert not getattr(b, name).flags.writeable
    assert (a.num_actions, a.config) == (b.num_actions, b.config)
    assert a.provenance.fingerprint == b.provenance.fingerprint
    assert a.return_std == b.return_std


def moved(record: Provenance) -> dict:
    """What a provenance says besides the path."""
    unimportant = ("path", "converted_from")
    details = {k: v for k, v in record.details.items() if k not in unimportant}
    return {**asdict(record), "details": details}


def is_map(array: np.ndarray) -> bool:
    return blocks_module._map(array) is not None


@pytest.fixture
def source(make_dataset, tmp_path):
    """Writes a data set in some format; returns what `load` and `convert` take."""

    def write(kind: str, **options):
        dataset = make_dataset([4, 1, 7, 2, 9], provenance=Provenance("npz", "mine"), **options)
        if kind == "minari":
            write_minari("lpt/mine-v0", dataset)
            return "lpt/mine-v0"
        path = tmp_path / f"mine.{kind}"
        {"npz": write_npz, "hdf5": write_d4rl}[kind](path, dataset)
        return path

    return write


@pytest.mark.parametrize("kind", ["hdf5", "npz", "minari"])
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize(
    "config", [DatasetConfig(), DatasetConfig(min_length=3, horizon=12, returns="held")]
)
def test_a_folder_holds_what_load_gives(folders, source, kind, discrete, config):
    place = source(kind, discrete=discrete)
    in_memory = load(place, config, log=None)
    made = convert(place, folders / "mine.lpt", config, log=None)
    for mapped in (made, load(folders / "mine.lpt"), load(f"{folders / 'mine.lpt'}/", config)):
        same(in_memory, mapped)
        assert moved(mapped.provenance) == moved(in_memory.provenance)
        assert mapped.provenance.details["path"] == str(folders / "mine.lpt")
        assert repr(mapped).splitlines()[1:9] == repr(in_memory).splitlines()[1:9]
        assert [name for name in ARRAYS if is_map(getattr(mapped, name))] == list(ARRAYS[:3])
        verify(mapped)
    names = {path.name for path in (folders / "mine.lpt").iterdir()}
    assert names == {"data.json", *(f"{name}.npy" for name in ARRAYS)}
    assert not [path for path in folders.iterdir() if path.name.startswith(".")]
    rewards = np.load(folders / "mine.lpt" / "rewards.npy", allow_pickle=False)  # numpy opens them
    np.testing.assert_array_equal(rewards, in_memory.rewards)


def test_a_folder_keeps_its_held_steps(source, tmp_path):
    config = DatasetConfig(horizon=12, returns="held", held_steps=4, rest=(0, 2))
    path = source("npz")
    made = convert(path, tmp_path / "mine.lpt", config, log=None)
    assert load(tmp_path / "mine.lpt", log=None).config == made.config == config
    assert made.learned_lengths.sum() > made.num_steps
    samplers = [
        TrajectorySampler(data, SamplerConfig(batch_trajectories=5), context=3, seed=0)
        for data in (made, load(path, config, log=None))
    ]
    one, other = (sampler.next() for sampler in samplers)
    assert one.observations.equal(other.observations) and one.actions.equal(other.actions)


def test_files_as_others_write_them(steps, tmp_path):
    """float64, flags and actions of other types, an unfinished tail, no timeouts."""
    arrays = steps([10, 3], discrete=True)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["observations"] = arrays["observations"].astype(np.float64)
        file["actions"] = arrays["actions"].astype(np.uint8)[:, None]
        file["rewards"] = arrays["rewards"][:, None]
        file["terminals"] = np.zeros(13, np.float64)
    config = DatasetConfig(horizon=5)
    made = convert(tmp_path / "theirs.h5", tmp_path / "theirs.lpt", config, log=None)
    same(load(tmp_path / "theirs.h5", config, log=None), made)
    assert made.lengths.tolist() == [5, 5] and made.num_actions == 4
    with pytest.raises(ValueError, match=r"cut at dataset\.horizon=5, asked for is 4"):
        read_mapped(tmp_path / "theirs.lpt", DatasetConfig(horizon=4))


def test_bad_values_are_found_in_any_block(steps, tmp_path):
    for field, row, text in (("rewards", 11, "the first at step 11"), ("actions", 9, "ranges")):
        arrays = steps([4, 9])
        arrays[field][row] = np.nan if field == "rewards" else 3.0
        write_d4rl(tmp_path / "bad.hdf5", arrays, overwrite=True)
        with pytest.raises(ValueError, match=rf"bad\.hdf5: field '{field}'.*{text}"):
            convert(tmp_path / "bad.hdf5", tmp_path / "bad.lpt", log=None)
        assert [path.name for path in tmp_path.iterdir()] == ["bad.hdf5"]


def test_labels_follow_the_config_and_trajectories_do_not(source, tmp_path):
    path = source("hdf5")
    convert(path, tmp_path / "a.lpt", DatasetConfig(min_length=2), log=None)
    held = DatasetConfig(min_length=2, returns="held", horizon=20, standardize_observations=False)
    mapped = load(tmp_path / "a.lpt", held, log=None)
    same(load(path, held, log=None), mapped)
    assert mapped.provenance.details["returns"] == "held"
    assert moved(mapped.provenance) == moved(load(path, held, log=None).provenance)
    verify(mapped)
    with pytest.raises(ValueError, match=r"min_length=2, asked for is 1: pass --dataset"):
        load(tmp_path / "a.lpt", DatasetConfig(), log=None)
    with pytest.raises(ValueError, match=r"held' needs the task's horizon"):
        load(tmp_path / "a.lpt", replace(held, horizon=None), log=None)
    with pytest.raises(ValueError, match="holds continuous actions where discrete ones"):
        load(tmp_path / "a.lpt", discrete=True, log=None)


@pytest.mark.parametrize(
    ("stored", "env_id", "name"),
    [
        (Provenance("regenerated", "theirs", "Their-v0"), "Their-v0", "theirs"),
        (Provenance("minari", "theirs", "Their-v5"), "Their-v5", "maze2d-umaze"),
        (Provenance("hdf5", "theirs"), MAZE, "maze2d-umaze"),
    ],
)
def test_the_source_stays_known(make_dataset, folders, capsys, stored, env_id, name):
    """Scores must never be those of another environment than the data's own."""
    write_mapped(folders / "x.lpt", make_dataset([4, 5], provenance=stored))
    record = load("maze2d-umaze", DatasetConfig(), str(folders / "x.lpt")).provenance
    assert (record.source, record.env_id, record.id) == (stored.source, env_id, name)
    assert ("evaluated in" in capsys.readouterr().out) == (env_id != MAZE)


def test_opening_reads_no_steps(make_dataset, tmp_path):
    """Neither statistics nor summary nor batches look at more than they need."""
    write_mapped(tmp_path / "a.lpt", make_dataset([400] * 40))
    for name in ARRAYS[:3]:  # none of the steps can be read any more without being noticed
        header = (tmp_path / "a.lpt" / f"{name}.npy").read_bytes()[:128]
        size = (tmp_path / "a.lpt" / f"{name}.npy").stat().st_size
        with open(tmp_path / "a.lpt" / f"{name}.npy", "wb") as file:
            file.write(header)
            file.truncate(size)
    mapped = load(tmp_path / "a.lpt", log=None)
    assert mapped.observation_mean.any() and "fingerprint" in repr(mapped)
    with pytest.raises(ValueError, match=r"a\.lpt: has fingerprint .* recorded is"):
        verify(mapped)


def test_verify_also_checks_labels_and_moments(make_dataset, tmp_path):
    write_mapped(tmp_path / "a.lpt", make_dataset([4, 5]))
    np.save(tmp_path / "a.lpt" / "returns.npy", np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="labels are not those"):
        verify(read_mapped(tmp_path / "a.lpt"))
    write_mapped(tmp_path / "a.lpt", make_dataset([4, 5]), overwrite=True)
    change(tmp_path / "a.lpt", observation_mean=[0, 0, 0])
    with pytest.raises(ValueError, match="mean and standard deviation are not those"):
        verify(read_mapped(tmp_path / "a.lpt"))


def change(folder, **entries) -> None:
    record = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps({**record, **entries}))


def test_a_folder_of_the_first_format_opens(make_dataset, tmp_path):
    """It called the size of an observation `obs_dim`."""
    dataset = make_dataset([4, 5])
    write_mapped(tmp_path / "a.lpt", dataset)
    record = json.loads((tmp_path / "a.lpt" / "data.json").read_text())
    assert record["format"] == 2 and "obs_dim" not in record["sizes"]
    sizes = record["sizes"]
    change(tmp_path / "a.lpt", format=1, sizes={"obs_dim": sizes.pop("observation_dim"), **sizes})
    again = read_mapped(tmp_path / "a.lpt")
    same(dataset, again)
    verify(again)


@pytest.mark.parametrize(
    "entries",
    [
        {"format": 3},
        {"provenance": None},
        {"provenance": {"what": 1}},
        {"config": {"horizons": 3}},
        {"num_actions": 3},
        {"sizes": {"steps": 9}},
        {"observation_mean": [0, 0]},
        {"observation_std": "one"},
    ],
)
def test_a_damaged_record_is_named(make_dataset, tmp_path, entries):
    write_mapped(tmp_path / "a.lpt", make_dataset([4, 5]))
    change(tmp_path / "a.lpt", **entries)
    with pytest.raises(ValueError, match=r"a\.lpt: data\.json is damaged .*lpt-data convert"):
        read_mapped(tmp_path / "a.lpt")


def test_damaged_folders_are_named(make_dataset, tmp_path):
    folder = tmp_path / "a.lpt"
    write_mapped(folder, make_dataset([4, 5]))
    with pytest.raises(FileNotFoundError, match=r"b\.lpt: no such folder\. Make it with: lpt-data"):
        read_mapped(tmp_path / "b.lpt")
    change(folder, sizes={"steps": 10, "trajectories": 2, "observation_dim": 3, "act_dim": 2})
    with pytest.raises(ValueError, match=r"observations\.npy: holds <f4 \[9, 3\], .*\[10, 3\]"):
        read_mapped(folder)
    write_mapped(folder, make_dataset([4, 5]), overwrite=True)
    whole = (folder / "actions.npy").read_bytes()
    for data in (whole[:-1], whole + b"1", whole[:20], b"", whole.replace(b"<f4", b"<i4")):
        (folder / "actions.npy").write_bytes(data)
        with pytest.raises(ValueError, match=r"actions\.npy: .*lpt-data convert"):
            read_mapped(folder)
    (folder / "actions.npy").write_bytes(whole)
    np.save(folder / "offsets.npy", np.array([0, 9, 9]))
    with pytest.raises(ValueError, match="'offsets' does not increase"):
        read_mapped(folder)
    np.save(folder / "offsets.npy", np.array([0, {}, 9]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"offsets\.npy: cannot be read \(.*objects"):
        read_mapped(folder)
    (folder / "data.json").unlink()
    with pytest.raises(ValueError, match=r"data\.json is damaged"):
        read_mapped(folder)


def test_only_converted_folders_are_replaced(make_dataset, tmp_path):
    folder, dataset = tmp_path / "a.lpt", make_dataset([4, 5])
    with pytest.raises(ValueError, match=r"name ends in \.lpt"):
        write_mapped(tmp_path / "a", dataset)
    folder.mkdir()
    (folder / "precious").touch()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="overwritten"):
            write_mapped(folder, dataset, overwrite=overwrite)
    (folder / "precious").unlink()
    folder.rmdir()
    write_mapped(folder, dataset)
    before = read_mapped(folder)
    with pytest.raises(AttributeError):
        write_mapped(folder, replace(dataset, terminated=None), overwrite=True)
    same(dataset, read_mapped(folder))
    write_mapped(folder, make_dataset([3]), overwrite=True)
    assert read_mapped(folder).num_steps == 3
    same(dataset, before)  # who has it open keeps what was there
    assert [path.name for path in tmp_path.iterdir()] == ["a.lpt"]


def test_a_full_disk_is_told(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = source("hdf5")
    with pytest.raises(OSError, match=r"cannot write .*: the disk is full \(.*make room"):
        convert(path, tmp_path / "a.lpt", log=None)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_blocks_and_selections(tmp_path, monkeypatch):
    array = scratch(tmp_path, (50, 3), np.float32)
    array[:] = np.arange(150).reshape(50, 3)
    assert not list(tmp_path.iterdir()) and is_map(array) and is_map(np.asarray(array)[3:])
    parts = [array[rows] for rows in blocks(array)]
    assert len(parts) == 10 and np.array_equal(np.concatenate(parts), array)
    keep = np.arange(50) % 3 == 1
    chosen = select(np.asarray(array), keep)
    assert is_map(chosen) and not is_map(select(np.array(array), keep))
    np.testing.assert_array_equal(chosen, np.array(array)[keep])
    offsets = np.array([0, 1, 2, 20, 21, 22, 50])
    groups = [np.arange(6)[part].tolist() for part in trajectory_blocks(offsets)]
    assert groups == [[0, 1, 2], [3, 4, 5]]
    np.save(tmp_path / "mine.npy", np.zeros(4))
    monkeypatch.setattr(os, "sysconf", lambda name: 1)  # a machine with one byte of memory
    read_scattered(array, np.zeros(4))
    private = np.load(tmp_path / "mine.npy", mmap_mode="c")
    private[:] = 1
    release(private, array)
    assert private.sum() == 4 and array[49, 2] == 149  # nothing written is lost


def test_best_return_to_go_and_paying_once(make_dataset, tmp_path):
    """What the baselines make of the data lies in files as well, and is the same."""
    dataset = make_dataset([4, 1, 7, 2, 9, 3])
    write_mapped(tmp_path / "a.lpt", dataset)
    mapped = read_mapped(tmp_path / "a.lpt")
    algorithms = map(find_algorithm, ("dt", "bc-10"))
    pairs = [(one.training_data(dataset), one.training_data(mapped)) for one in algorithms]
    pairs.append((dataset.best(0.5), mapped.best(0.5)))
    pairs.append((pay_once(dataset, 0.1), pay_once(mapped, 0.1)))
    for there, here in pairs:
        same(there, here)
        assert is_map(here.observations)
    assert {path.suffix for path in (tmp_path / "a.lpt").iterdir()} == {".npy", ".json"}


@pytest.mark.parametrize("algorithm", ["lpt", "bc-10", "dt"])
def test_training_is_the_same_bit_for_bit(
    tmp_path, monkeypatch, umaze, flags, lpt_train, algorithm
):
    monkeypatch.setattr(blocks_module, "_BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(blocks_module, "_BLOCK_STEPS", 1000)
    folder = tmp_path / "maze.lpt"
    main(["convert", "maze2d-umaze", str(folder), "--source", str(umaze)])
    states = []
    monkeypatch.setattr(sampling, "_RESIDENT_BYTES", 0)  # pages are let go of, as of large maps
    for place in (umaze, folder):
        out = tmp_path / f"run{place.suffix}"
        options = ["--algorithm", algorithm, "--sampler.batch-trajectories", "4"]
        assert lpt_train([*flags(place, out, updates=8), *options]) == 0
        states.append(load_training_state(latest_checkpoint(out))[0])
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_commands(folders, source, capsys):
    path, folder = str(source("hdf5")), str(folders / "a.lpt")
    main(["convert", path, folder, "--dataset.min-length", "2"])
    fingerprint = load(path, DatasetConfig(min_length=2)).provenance.fingerprint
    assert f"wrote {folder}" in capsys.readouterr().out
    main(["info", folder, "--verify"])
    out = capsys.readouterr().out
    assert fingerprint in out and "verified: all arrays" in out and f"converted_from {path}" in out
    assert main(["convert", path, folder]) == 2
    assert "already exists and is not overwritten" in capsys.readouterr().err
    main(["convert", path, folder, "--overwrite"])
    np.save(folders / "a.lpt" / "rewards.npy", np.zeros(23, np.float32))
    assert main(["info", folder, "--verify"]) == 2
    assert "has fingerprint" in capsys.readouterr().err
    assert read_file(folder).rewards.sum() == 0


MEASURE = """
import sys
from lpt.data import SamplerConfig, TrajectorySampler, convert

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))

before = peak()
dataset = convert(sys.argv[1], sys.argv[2], log=None)
converted = peak()
sampler = TrajectorySampler(dataset, SamplerConfig(batch_trajectories=8), context=4, seed=0)
for _ in range(20):
    sampler.next()
dataset.best(0.5)
print(before, converted, peak(), dataset.observations.nbytes >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident pages as Linux does")
def test_memory_is_bounded(tmp_path):
    """Converting and sampling 153 MB of observations takes about half of that in memory."""
    count, width = 200_000, 200
    flags = np.zeros(count, bool)
    flags[999::1000] = True
    with h5py.File(tmp_path / "big.hdf5", "w") as file:
        file.create_dataset("observations", (count, width), "f4", chunks=(4000, width))
        file["actions"], file["rewards"] = np.zeros((count, 1), "f4"), np.ones(count, "f4")
        file["terminals"], file["timeouts"] = flags, ~flags & False
        rows = np.tile(np.arange(width, dtype=np.float32), (40_000, 1))
        for start in range(0, count, len(rows)):
            file["observations"][start : start + len(rows)] = rows
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "big.hdf5"), str(tmp_path / "a.lpt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, converted, sampled, size = map(int, done.stdout.split())
    assert size == 152 and max(converted, sampled) - before < 110, done.stdout


def test_the_tasks_horizon_is_taken_where_the_folder_has_none(tmp_path):
    """As of the file that it was converted from; a horizon of its own goes first."""
    held = DatasetConfig(returns="held")
    for horizon, expected in ((None, 300), (25, 25)):
        data = load_steps(horizon)
        folder = tmp_path / f"{horizon}.lpt"
        write_mapped(folder, data)
        found = load("maze2d-umaze", held, source=str(folder), log=None)
        assert found.config.horizon == expected


def load_steps(horizon):
    """Two trajectories of ten steps."""
    flags = np.zeros(20)
    flags[[9, 19]] = 1
    return TrajectoryDataset.from_steps(
        np.zeros((20, 4)), np.zeros((20, 2)), np.ones(20), flags * 0, flags,
        config=DatasetConfig(horizon=horizon),
    )  # fmt: skip
