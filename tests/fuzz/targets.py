"""What is attacked: every file that somebody else may have written, and a valid one of each.

A target writes an input into a folder and opens it as a user would. `try_input` says how it ended.
"""

import json
import lzma
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import mutations
import numpy as np
import yaml
from helpers.datasets import continuous, discrete
from helpers.policies import make_metadata, make_policy_model

from lpt.checkpoint.files import load_training_state, save_checkpoint
from lpt.config import Config, read_config, to_tree
from lpt.data import (
    Provenance,
    TrajectoryDataset,
    read_file,
    read_minari,
    write_d4rl,
    write_mapped,
    write_minari,
    write_npz,
)
from lpt.data.formats.minari_writer import datasets_path
from lpt.data.provenance import file_provenance
from lpt.evaluation import LPTPolicy

Mutation = Callable[[Random, bytes], bytes]
HEADER = {
    "format": "connect-four-games",
    "version": 1,
    "players": {"s": "specialized"},
    "last_disc_draw": True,
    "provenance": {"source": "regenerated", "id": "connect-four", "details": {"seed": 1}},
}
GAMES = (
    f"# {json.dumps(HEADER)}\n6362666160 s\n6362646 s\n3333302111214510000601356556556444464622 e\n"
)
MINARI = "theirs/some-v0"


@dataclass(frozen=True)
class Target:
    """One kind of file."""

    file: str
    """Its place in the folder."""
    mutate: Mutation
    """Changes to it."""
    open: Callable[[Path], Any]
    """Opens the folder."""


def whole(dataset: TrajectoryDataset) -> str:
    """Look at what training and `lpt-data info` look at."""
    assert np.isfinite(dataset.observation_std).all() and dataset.return_std > 0
    return repr(dataset)


def open_minari(folder: Path) -> str:
    with datasets_path(str(folder)):
        return whole(read_minari(MINARI))


def open_provenance(folder: Path) -> Provenance:
    text = (folder / "provenance.json").read_text(encoding="utf-8", errors="replace")
    return file_provenance(text, folder / "provenance.json", "npz")


def text_of(mutate: Mutation) -> Mutation:
    """Mutate the text in an .xz file."""

    def change(rng: Random, data: bytes) -> bytes:
        if rng.random() < 0.3:
            return mutations.raw(rng, data)
        return lzma.compress(mutate(rng, lzma.decompress(data)), preset=0)

    return change


def yaml_text(rng: Random, data: bytes) -> bytes:
    if rng.random() < 0.5:
        return mutations.lines(rng, data)
    changed = mutations.tree(rng, yaml.safe_load(data))
    return yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "replace")


def file_target(name: str, mutate: Mutation) -> Target:
    return Target(name, mutate, lambda folder: whole(read_file(folder / name)))


def mapped_target(name: str, mutate: Mutation) -> Target:
    return Target(f"x.lpt/{name}", mutate, lambda folder: whole(read_file(folder / "x.lpt")))


def checkpoint_target(name: str, mutate: Mutation) -> Target:
    act = load_training_state if name.startswith("training") else LPTPolicy.load
    return Target(f"run/checkpoints/00000010/{name}", mutate, lambda folder: act(folder / "run"))


def minari_target(name: str, mutate: Mutation) -> Target:
    return Target(f"{MINARI}/data/{name}", mutate, open_minari)


TARGETS = {
    "npz": file_target("x.npz", mutations.npz),
    "npz-discrete": file_target("discrete.npz", mutations.npz),
    "hdf5": file_target("x.hdf5", mutations.raw),
    "games": file_target("x.games", mutations.lines),
    "games-xz": file_target("x.games.xz", text_of(mutations.lines)),
    "mapped-record": mapped_target("data.json", mutations.json_bytes),
    "mapped-observations": mapped_target("observations.npy", mutations.npy),
    "mapped-offsets": mapped_target("offsets.npy", mutations.npy),
    "mapped-returns": mapped_target("returns.npy", mutations.npy),
    "minari-record": minari_target("metadata.json", mutations.json_bytes),
    "minari-episodes": minari_target("main_data.hdf5", mutations.raw),
    "policy-record": checkpoint_target("policy.json", mutations.json_bytes),
    "policy-weights": checkpoint_target("policy.safetensors", mutations.safetensors),
    "training-record": checkpoint_target("training.json", mutations.json_bytes),
    "training-tensors": checkpoint_target("training.safetensors", mutations.safetensors),
    "configuration": Target(
        "config.yaml", yaml_text, lambda folder: read_config(folder / "config.yaml")
    ),
    "provenance": Target("provenance.json", mutations.json_bytes, open_provenance),
}


def few(dataset: TrajectoryDataset) -> TrajectoryDataset:
    """Return the first three trajectories only: HDF5 takes kilobytes for each."""
    end = int(dataset.offsets[3])
    arrays = (dataset.observations[:end], dataset.actions[:end], dataset.rewards[:end])
    return TrajectoryDataset.from_offsets(*arrays, dataset.offsets[:4])


def write_seeds(folder: Path) -> None:
    """Write a valid file of every target."""
    details = {"seed": 1, "horizon": 40, "action_bounds": [[-1.0, -2.0], [1.0, 2.0]]}
    origin = Provenance("regenerated", "mine", "lpt_envs:lpt/Maze2D-umaze-v1", details=details)
    dataset = replace(continuous(), provenance=origin)
    write_npz(folder / "x.npz", dataset)
    write_npz(folder / "discrete.npz", discrete())
    write_d4rl(folder / "x.hdf5", dataset)
    (folder / "x.games").write_text(GAMES)
    (folder / "x.games.xz").write_bytes(lzma.compress(GAMES.encode()))
    write_mapped(folder / "x.lpt", replace(dataset, provenance=continuous().provenance))
    with datasets_path(str(folder)):
        write_minari(MINARI, few(dataset))
    model = make_policy_model(layers=1, prior_width=0)
    config = Config(task="maze2d-umaze", model=model.config)
    metadata = make_metadata({"model": to_tree(config)["model"]})
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    record = {
        "updates": 10,
        "wall_seconds": 1.5,
        "best_return": None,
        "best_updates": 3,
        "trajectories": 24,
        "sampler": {"generator": np.random.default_rng(0).bit_generator.state},
    }
    save_checkpoint(folder / "run", 10, model.state_dict(), metadata, state, record)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(config)))
    (folder / "provenance.json").write_text(json.dumps(origin.to_dict()))


class Attack:
    """Valid files in a folder, of which one after the other is replaced by an input."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lpt-fuzz-"))
        write_seeds(self.folder)
        self.seeds = {
            name: (self.folder / target.file).read_bytes() for name, target in TARGETS.items()
        }

    def make(self, name: str, rng: Random) -> bytes:
        """An input: a seed changed once or twice."""
        data = TARGETS[name].mutate(rng, self.seeds[name])
        return mutations.raw(rng, data) if rng.random() < 0.1 else data

    def try_input(self, name: str, data: bytes) -> str:
        """Open an input: `accepted`, `refused`, or what is wrong with the way it was refused."""
        target = TARGETS[name]
        path = self.folder / target.file
        path.write_bytes(data)
        try:
            target.open(self.folder)
        except (ValueError, OSError) as error:
            text = str(error)
            if not text.isprintable() or len(text) > 2000:
                return f"not one line: {type(error).__name__}: {text[:300]!r}"
            return "refused" if str(self.folder) in text or MINARI in text else f"unnamed: {text}"
        except Exception as error:
            return f"foreign: {type(error).__name__}: {str(error)[:300]!r}"
        finally:
            path.write_bytes(self.seeds[name])
        return "accepted"

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
