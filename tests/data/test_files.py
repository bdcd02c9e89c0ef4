"""NPZ and D4RL-HDF5 files: round trips, and errors that name the file, the field and the mend."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from lpt.config import DatasetConfig
from lpt.data import (
    Provenance,
    TrajectoryDataset,
    read_d4rl,
    read_file,
    read_npz,
    write_d4rl,
    write_npz,
)

WRITERS = {".npz": write_npz, ".hdf5": write_d4rl}
ORIGIN = Provenance("regenerated", "mine", "Env-v0", details={"seed": 3, "versions": {"a": "1"}})


def same(a: TrajectoryDataset, b: TrajectoryDataset) -> None:
    for name in ("observations", "actions", "rewards", "offsets", "returns", "terminated"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.num_actions == b.num_actions
    assert a.provenance.fingerprint == b.provenance.fingerprint


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("discrete", [False, True])
def test_round_trip(make_dataset, tmp_path, suffix, discrete):
    path = tmp_path / f"data{suffix}"
    config = DatasetConfig(horizon=20, returns="held")
    dataset = make_dataset([4, 1, 7, 5], discrete=discrete, config=config, provenance=ORIGIN)
    if discrete:
        dataset = replace(dataset, num_actions=9)
    WRITERS[suffix](path, dataset)
    again = read_file(path, config)
    same(dataset, again)
    record = again.provenance
    assert (record.source, record.id, record.env_id) == ("regenerated", "mine", "Env-v0")
    assert record.details["seed"] == 3 and record.details["path"] == str(path)
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left


@pytest.mark.parametrize("suffix", WRITERS)
def test_only_regenerated_data_keep_their_source(make_dataset, tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    WRITERS[suffix](path, make_dataset([4], provenance=Provenance("minari", "a/b-v0", "Env-v0")))
    record = read_file(path).provenance
    assert (record.source, record.id) == (suffix.strip("."), "a/b-v0")
    assert record.details["original_source"] == "minari" and record.env_id == "Env-v0"
    known = read_file(path, origin=Provenance("d4rl", "task", None)).provenance
    assert (known.source, known.id, known.env_id) == ("d4rl", "task", "Env-v0")


@pytest.mark.parametrize("suffix", WRITERS)
def test_existing_files_are_kept(make_dataset, tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="already exists and is not overwritten"):
        WRITERS[suffix](path, make_dataset([4]))
    assert path.read_text() == "precious"
    WRITERS[suffix](path, make_dataset([4]), overwrite=True)
    assert read_file(path).num_steps == 4


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "data.hdf5"
    path.write_text("precious")
    with pytest.raises(TypeError):
        write_d4rl(path, {"observations": np.array([[object()]])}, overwrite=True)
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminals"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_missing_keys_are_named(steps, tmp_path, suffix, key):
    path = tmp_path / f"data{suffix}"
    arrays = steps([4, 5])
    del arrays[key]
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        write_d4rl(path, arrays)
    with pytest.raises(ValueError, match=rf"data{suffix}: field '{key}' is missing \(found: ") as e:
        read_file(path)
    assert str(e.value).startswith(str(path))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(make_dataset, tmp_path, suffix, keep):
    path = tmp_path / f"data{suffix}"
    WRITERS[suffix](path, make_dataset([400, 500]))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=rf"data{suffix}: the file is damaged or not .* again"):
        read_file(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_damaged_bytes_are_never_read_silently(make_dataset, tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    dataset = make_dataset([400, 500])
    WRITERS[suffix](path, dataset)
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="damaged"):
        read_file(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_bad_values_name_the_file(steps, tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    arrays = steps([4, 5])
    arrays["rewards"][2] = np.nan
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        write_d4rl(path, arrays)
    with pytest.raises(ValueError, match=rf"data{suffix}: field 'rewards' has 1 NaN"):
        read_file(path)


def test_a_foreign_provenance_is_refused_in_words(steps, tmp_path):
    path = tmp_path / "data.npz"
    for text in ("{", '{"what": 1}', '"text"'):
        np.savez(path, **steps([4]), provenance=text)
        with pytest.raises(ValueError, match=r"data\.npz: field 'provenance' is not a record"):
            read_npz(path)


def test_other_endings_and_absent_files(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.npz, \.hdf5, \.h5"):
        read_file(tmp_path / "data.csv")
    for suffix in (".npz", ".hdf5", ".h5"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            read_file(tmp_path / f"absent{suffix}")


def test_pickled_objects_are_refused(steps, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **{**steps([4]), "rewards": np.array([{}, {}, {}, {}])})
    with pytest.raises(ValueError, match=r"data\.npz: an array cannot be read .*pickled"):
        read_npz(path)


def test_npz_by_hand(steps, tmp_path):
    """The smallest files: offsets alone, terminals alone with a horizon."""
    path = tmp_path / "data.npz"
    arrays = steps([4, 5])
    flags = [arrays.pop("terminals"), arrays.pop("timeouts")]
    np.savez(path, **arrays, offsets=[0, 4, 9])
    dataset = read_npz(path)
    assert dataset.lengths.tolist() == [4, 5] and not dataset.terminated.any()
    assert dataset.provenance.source == "npz" and dataset.provenance.id == "data"
    np.savez(path, **arrays, offsets=[0, 4, 9], terminated=[0, 1])
    assert read_npz(path).terminated.tolist() == [False, True]
    np.savez(path, **arrays, terminals=flags[0])
    assert read_npz(path, DatasetConfig(horizon=5)).lengths.tolist() == [4, 5]


def test_npz_discrete_where_continuous_is_configured(steps, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **steps([40], discrete=True), num_actions=6)
    assert read_npz(path).num_actions == 6
    with pytest.raises(ValueError, match=r"data\.npz: field 'actions' holds integers"):
        read_npz(path, discrete=False)


def test_d4rl_file_as_others_write_it(steps, tmp_path):
    """float64, uint8 flags, no timeouts, groups that are not needed."""
    path = tmp_path / "theirs.h5"
    arrays = steps([10])
    with h5py.File(path, "w") as file:
        file["observations"] = arrays["observations"].astype(np.float64)
        file["actions"] = arrays["actions"]
        file["rewards"] = arrays["rewards"][:, None]
        file["terminals"] = np.zeros(10, np.uint8)
        file["infos/qpos"] = np.zeros((10, 2))
        file["metadata/algorithm"] = "SAC"
    with pytest.raises(ValueError, match=r"theirs\.h5: field 'timeouts' is missing.*horizon"):
        read_d4rl(path)
    dataset = read_d4rl(path, DatasetConfig(horizon=5))
    assert dataset.lengths.tolist() == [5, 5] and dataset.provenance.source == "hdf5"
    np.testing.assert_array_equal(dataset.observations, arrays["observations"])


def test_d4rl_group_in_place_of_an_array(steps, tmp_path):
    path = tmp_path / "odd.hdf5"
    arrays = steps([4])
    arrays["rewards/inner"] = arrays.pop("rewards")
    write_d4rl(path, arrays)
    with pytest.raises(ValueError, match="'rewards' is missing"):
        read_d4rl(path)


def test_attributes_can_be_read_by_other_tools(make_dataset, tmp_path):
    path = tmp_path / "data.hdf5"
    write_d4rl(path, make_dataset([4, 5], provenance=ORIGIN))
    with h5py.File(path) as file:
        assert file.attrs["seed"] == 3 and file.attrs["source"] == "regenerated"
        assert json.loads(file.attrs["versions"]) == {"a": "1"}
        assert file["terminals"].dtype == bool
        assert file["timeouts"][()].nonzero()[0].tolist() == [8]
