"""Files made to mislead their reader: each ends in one line, soon and in little memory."""

import errno
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lpt.checkpoint.files import list_checkpoints
from lpt.config import DatasetConfig
from lpt.data import (
    Provenance,
    TrajectoryDataset,
    convert,
    load,
    read_d4rl,
    read_file,
    read_mapped,
    read_minari,
    read_npz,
    write_d4rl,
    write_mapped,
    write_minari,
    write_npz,
)
from lpt.data.formats import games as games_module
from lpt.data.limits import memory_limit
from lpt.training import resume

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts")
HUGE = 10**12


def refused(read: Callable[..., Any], path: Any, match: str) -> None:
    """Reading raises one printable line."""
    with pytest.raises((ValueError, OSError), match=match) as caught:
        read(path)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 1000, text


# HDF5


@pytest.fixture
def rewarded(steps, tmp_path) -> Callable[[Callable[[h5py.File], None]], Path]:
    """`rewarded(put)`: a D4RL file whose rewards are what `put` writes."""

    def write(put: Callable[[h5py.File], None]) -> Path:
        arrays = steps([4, 5])
        del arrays["rewards"]
        write_d4rl(tmp_path / "x.hdf5", arrays, overwrite=True)
        write_d4rl(tmp_path / "other.hdf5", {"rewards": np.zeros(9)}, overwrite=True)
        with h5py.File(tmp_path / "x.hdf5", "a") as file:
            put(file)
        return tmp_path / "x.hdf5"

    return write


def external_link(file: h5py.File) -> None:
    file["rewards"] = h5py.ExternalLink("other.hdf5", "rewards")


def soft_link_out(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink("other.hdf5", "/")
    file["rewards"] = h5py.SoftLink("/out/rewards")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("rewards", (9,), "f8", external=[("/etc/hostname", 0, 72)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((9,), "f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "rewards", (9,))
    file.create_virtual_dataset("rewards", layout)


def virtual_nowhere(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((9,), "f8")
    layout[:] = h5py.VirtualSource("nowhere.hdf5", "rewards", (9,))
    file.create_virtual_dataset("rewards", layout)


def many_rows(file: h5py.File) -> None:
    file.create_dataset("rewards", (HUGE,), "f8", chunks=(4096,), compression="gzip")


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset(
        "rewards", (9,), "f8", maxshape=(None,), chunks=(1 << 28,), compression="gzip"
    )


def many_chunks(file: h5py.File) -> None:
    file.create_dataset("rewards", (1 << 23,), "f4", chunks=(1,))


def text(file: h5py.File) -> None:
    file["rewards"] = ["a"] * 9


def compound(file: h5py.File) -> None:
    file["rewards"] = np.zeros(9, [("a", "f4"), ("b", "f4")])


def nothing(file: h5py.File) -> None:
    file["rewards"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    ("put", "match"),
    [
        (external_link, "'rewards' is a link"),
        (soft_link_out, "'rewards' is a link"),
        (external_storage, "external storage"),
        (virtual, "virtual data set"),
        (virtual_nowhere, "virtual data set"),
        (many_rows, "declares 4 TB|declares 8 TB"),
        (huge_chunk, "declares 2.15 GB"),
        (many_chunks, "declares 8388612 chunks in "),
        (text, "expected real numbers"),
        (compound, "expected real numbers"),
        (nothing, "expected real numbers"),
    ],
)
def test_hdf5_that_leads_elsewhere_or_grows(rewarded, put, match):
    refused(read_d4rl, rewarded(put), match)


def test_a_filter_that_would_be_loaded_is_refused(steps, tmp_path):
    path = tmp_path / "x.hdf5"
    arrays = steps([4, 5])
    write_d4rl(path, arrays)
    data = path.read_bytes()
    with h5py.File(path, "a") as file:
        del file["rewards"]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((9,))
        settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # zstandard, a plugin
        space = h5py.h5s.create_simple((9,))
        h5py.h5d.create(file.id, b"rewards", h5py.h5t.NATIVE_FLOAT, space, settings)
    assert path.read_bytes() != data
    refused(read_d4rl, path, r"filter that HDF5 does not bring \(32015\)")


@pytest.mark.parametrize("value", [[1, 2], "many", 0, -1, 1 << 40, 1.5, b"\xff", np.zeros(900)])
def test_hdf5_attributes_of_another_kind(steps, tmp_path, value):
    path = tmp_path / "x.hdf5"
    write_d4rl(path, steps([4, 5], discrete=True))
    with h5py.File(path, "a") as file:
        file.attrs["num_actions"] = value
    refused(read_d4rl, path, "num_actions|'actions'")


# NPZ


def test_npz_reads_no_more_than_it_needs(steps, tmp_path):
    np.savez(tmp_path / "x.npz", **steps([4, 5]))
    with zipfile.ZipFile(tmp_path / "x.npz", "a", zipfile.ZIP_LZMA) as file:
        file.writestr("infos/qpos.npy", b"this is no array")
        file.writestr("../../evil.npy", b"nor this")
    assert read_npz(tmp_path / "x.npz").num_steps == 9


def npy(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    from io import BytesIO

    head = BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return head.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("rewards.npy", npy((HUGE,)), "shorter than its header says"),
        ("rewards.npy", npy((9,), "V1000000000"), "shorter than its header says"),
        ("rewards.npy", npy((-9,)), "damaged|rewards"),
        ("rewards.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "damaged"),
        ("rewards.npy", b"\x93NUMPY\x09\x00", "damaged"),
        ("rewards.npy", npy((9,), "|O"), "pickled objects are refused"),
        ("num_actions.npy", npy((2,), "<i8") + bytes(16), "'num_actions' is int64"),
        ("provenance.npy", npy((1,), "<U1") + bytes(4), "'provenance' is <U1"),
    ],
)
def test_npz_members_that_lie(steps, tmp_path, name, content, match):
    arrays = steps([4, 5])
    arrays.pop(name.removesuffix(".npy"), None)
    np.savez(tmp_path / "x.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as file:
        file.writestr(name, content)
    refused(read_npz, tmp_path / "x.npz", match)


def test_a_zip_bomb_is_not_unpacked(steps, tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    monkeypatch.setenv("LPT_MAX_BYTES", str(10 << 20))
    np.savez_compressed(path, **{**steps([4, 5]), "rewards": np.zeros(20 << 17)})
    assert path.stat().st_size < 100_000
    refused(read_npz, path, r"declares 21 MB of arrays, more than the 10.5 MB.*LPT_MAX_BYTES")
    monkeypatch.setenv("LPT_MAX_BYTES", "1e9")
    with pytest.raises(ValueError, match="LPT_MAX_BYTES='1e9': expected a number of bytes"):
        memory_limit()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as file:
        file.writestr("terminated.npy", b"x")
    refused(read_npz, path, "compressed in another way")


# Mapped folders


@pytest.fixture
def folder(make_dataset, tmp_path) -> Path:
    write_mapped(tmp_path / "a.lpt", make_dataset([4, 5]))
    return tmp_path / "a.lpt"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["sizes"].update(steps=-1),
        lambda r: r["sizes"].update(steps=HUGE**2),
        lambda r: r["sizes"].update(more=1),
        lambda r: r.update(sizes=[]),
        lambda r: r.update(config=None),
        lambda r: r["config"].update(horizon=0),
        lambda r: r["config"].update(returns="all"),
        lambda r: r.update(provenance=5),
        lambda r: r["provenance"].update(details=[]),
        lambda r: r["provenance"].update(env_id=7),
        lambda r: r["provenance"]["details"].update(horizon="x"),
        lambda r: r["provenance"]["details"].update(action_bounds=[[1.0], [0.0]]),
        lambda r: r.update(observation_std=[0.0, 1.0, 1.0]),
        lambda r: r.update(observation_std=[-1.0, 1.0, 1.0]),
        lambda r: r.update(observation_mean=[float("nan"), 1.0, 1.0]),
        lambda r: r.update(observation_mean=[float("inf"), 1.0, 1.0]),
        lambda r: r.update(format=[]),
        lambda r: r.clear(),
    ],
)
def test_records_are_checked_entry_by_entry(folder, change):
    edit(folder / "data.json", change)
    refused(read_mapped, folder, r"data\.json is damaged .*lpt-data convert")


def test_records_nested_too_deeply_or_too_long(folder):
    for text in ("[" * 100_000, '{"a":' * 100_000, " " * (5 << 20)):
        (folder / "data.json").write_text(text)
        refused(read_mapped, folder, r"data\.json(: larger than| is damaged)")


@pytest.mark.parametrize("name", ["data.json", "rewards.npy", "offsets.npy"])
def test_pipes_and_links_are_no_files_of_a_folder(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(read_mapped, folder, "a link, where")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(read_mapped, folder, "no regular file")


@pytest.mark.parametrize("name", ["x.npz", "x.hdf5", "x.games", "x.games.xz"])
def test_pipes_and_folders_are_no_data(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refused(read_file, tmp_path / name, "no regular file")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    refused(read_file, tmp_path / name, "no regular file")


def test_a_changed_folder_is_noticed_on_resume(umaze, tmp_path, flags, lpt_train):
    data = tmp_path / "umaze.lpt"
    write_mapped(data, load(umaze, log=None))
    run = tmp_path / "run"
    assert lpt_train(flags(data, run, updates=2)) == 0
    assert resume(run, log=str).trainer.updates == 2
    path = data / "observations.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"has fingerprint .*, recorded is .*lpt-data convert"):
        resume(run, log=str)
    assert len(list_checkpoints(run)) == 1


# Games


def test_an_xz_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(games_module, "LARGEST_TEXT", 1 << 20)
    path = tmp_path / "x.games.xz"
    path.write_bytes(lzma.compress(bytes(4 << 20)))
    refused(read_file, path, "expands to more than 1048576 bytes")
    path.write_bytes(lzma.compress(b"1" * 1000) * 2000)  # many streams
    refused(read_file, path, "expands to more than 1048576 bytes")


@pytest.mark.parametrize(
    "header",
    [
        "{" * 100_000,
        '{"a":' * 100_000,
        '{"format": "connect-four-games", "version": 1, "provenance": 5}',
        '{"format": "connect-four-games", "version": 1, "provenance": {"id": []}}',
        '{"format": ' + "9" * 5000 + "}",
    ],
)
def test_headers_of_games(tmp_path, header):
    (tmp_path / "x.games").write_text(f"# {header}\n334152\n")
    refused(read_file, tmp_path / "x.games", "x.games")


# Minari


@pytest.fixture
def minari_folder(folders, make_dataset) -> Path:
    write_minari("theirs/some-v0", make_dataset([4, 5]))
    return folders / "minari" / "theirs" / "some-v0" / "data"


def box(shape: Any, dtype: str = "float32") -> str:
    return json.dumps({"type": "Box", "shape": shape, "dtype": dtype, "low": 0, "high": 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"total_steps": HUGE},
        {"total_steps": 10**30},
        {"total_steps": "many"},
        {"total_episodes": HUGE},
        {"total_episodes": 3},
        {"total_episodes": -1},
        {"observation_space": None},
        {"observation_space": "[" * 100_000},
        {"observation_space": box([HUGE])},
        {"observation_space": box([-3])},
        {"observation_space": box([3], "U9")},
        {"observation_space": box(None)},
        {"observation_space": json.dumps({"type": "Graph"})},
        {"action_space": json.dumps({"type": "Discrete", "n": HUGE, "start": 0})},
        {"action_space": json.dumps({"type": "MultiBinary", "n": 1 << 40})},
        {"data_format": "pickle"},
        {"minari_version": "99"},
        {"env_spec": "[]"},
        {"env_spec": "{"},
    ],
)
def test_minari_metadata_that_lie(minari_folder, fields):
    edit(minari_folder / "metadata.json", lambda record: record.update(fields))
    refused(read_minari, "theirs/some-v0", "Minari data set theirs/some-v0|metadata.json|field")


@pytest.mark.parametrize("put", [external_link, external_storage, virtual, many_rows, text])
def test_minari_episodes_that_lead_elsewhere_or_grow(minari_folder, put):
    with h5py.File(minari_folder / "main_data.hdf5", "a") as file:
        del file["episode_1/rewards"]
        put(file["episode_1"])
    refused(read_minari, "theirs/some-v0", "'rewards'|/rewards|declares")


def test_minari_reads_no_more_than_it_needs(minari_folder):
    with h5py.File(minari_folder / "main_data.hdf5", "a") as file:
        file["episode_0/infos/elsewhere"] = h5py.ExternalLink("nowhere.hdf5", "x")
    assert read_minari("theirs/some-v0").num_steps == 9


@pytest.mark.parametrize("name", ["metadata.json", "main_data.hdf5"])
def test_minari_files_that_are_none(minari_folder, tmp_path, name):
    (minari_folder / name).rename(tmp_path / "elsewhere")
    (minari_folder / name).symlink_to(tmp_path / "elsewhere")
    refused(read_minari, "theirs/some-v0", "a link, where")
    (minari_folder / name).unlink()
    os.mkfifo(minari_folder / name)
    refused(read_minari, "theirs/some-v0", "no regular file")


# Values


def test_returns_beyond_float32_are_refused(steps):
    arrays = steps([4, 5])
    arrays["rewards"][:] = 3e38
    with pytest.raises(ValueError, match=r"return of trajectory 0 is 1.2e\+39, beyond float32"):
        TrajectoryDataset.from_steps(**arrays)
    arrays["rewards"][:] = 1e38
    config = DatasetConfig(returns="held", horizon=1000)
    arrays["terminals"][:], arrays["timeouts"][8] = False, True
    with pytest.raises(ValueError, match="beyond float32"):
        TrajectoryDataset.from_steps(**arrays, config=config)


@pytest.mark.parametrize("action", [1e300, float(1 << 63), 70_000.0, np.uint64((1 << 64) - 1)])
def test_discrete_actions_beyond_counting_are_refused(steps, action):
    arrays = steps([4, 5])
    arrays["actions"] = np.full(9, action)
    with pytest.raises(ValueError, match="'actions'"):
        TrajectoryDataset.from_steps(**arrays, discrete=True)


def test_provenances_are_checked_entry_by_entry(make_dataset, tmp_path):
    write_npz(tmp_path / "x.npz", make_dataset([4, 5]))
    with np.load(tmp_path / "x.npz") as file:
        arrays = dict(file)
    record = json.loads(str(arrays.pop("provenance")))
    changes = [{"id": []}, {"env_id": 5}, {"details": 5}, {"details": {"horizon": -1}}, {"x": 1}]
    texts = [json.dumps({**record, **change}) for change in changes]
    deep = f'{{"details": {{"x": {"[" * 200}{"]" * 200}}}}}'
    for bad in [
        *texts,
        deep,
        json.dumps({"id": "\x1b[31m"}),
        "[" * 100_000,
        "9" * 5000,
        '"x"',
        "[]",
    ]:
        np.savez(tmp_path / "x.npz", **arrays, provenance=bad)
        refused(read_npz, tmp_path / "x.npz", "'provenance' is not a record")


def test_a_summary_shows_nothing_that_a_terminal_would_obey(make_dataset):
    details = {"generator": "a\x1b[2Jb\nc", "versions": {"x": "\x07"}, "maze": "#" * 10_000}
    text = repr(make_dataset([4], provenance=Provenance(details=details)))
    assert all(line.isprintable() and len(line) < 1100 for line in text.splitlines())


def test_a_full_disk_is_not_the_files_fault(make_dataset, tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_d4rl(tmp_path / "x.hdf5", make_dataset([4, 5]))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="the disk is full") as caught:
        convert(tmp_path / "x.hdf5", tmp_path / "x.lpt", log=None)
    assert "damaged" not in str(caught.value) and not (tmp_path / "x.lpt").exists()
