"""Writing Minari data sets that Minari's own tools open, each complete when its id appears."""

from __future__ import annotations

import copy
import importlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.namespace import create_namespace, list_local_namespaces
from minari.storage import get_dataset_path

from lpt.config.trust import check_environment
from lpt.data.action_bounds import ActionBounds
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.minari import is_minari_id
from lpt.data.provenance import Provenance
from lpt.machine.disk import check_room, check_writable, flush, writing
from lpt.machine.files import check_absent, put_folder
from lpt.machine.temporaries import temporary

_EPISODE_BYTES = 20_000
"""What HDF5 and Minari add to an episode, at most."""


def write_minari(
    dataset_id: str,
    dataset: TrajectoryDataset,
    *,
    final_observations: np.ndarray | None = None,
    overwrite: bool = False,
) -> None:
    """Write a data set under a Minari id, atomically.

    Args:
        dataset_id: such as `lpt/maze2d-umaze-v1`.
        dataset: what to write.
        final_observations: `[n, observation_dim]`, the observation after each trajectory's last
            action, which Minari stores and data sets do not; None repeats the last observation.
        overwrite: replace a data set of the same id.

    Raises:
        ValueError: `dataset_id` is no Minari id.
        FileExistsError: the id exists locally and `overwrite` is False.
        DiskError: the disk is full or the like; what was there is as it was.
    """
    check_minari_target(dataset_id, overwrite)
    if final_observations is None:
        final_observations = dataset.observations[dataset.offsets[1:] - 1]
    observation_space, action_space = _spaces(dataset)
    spec = _env_spec(dataset.provenance)
    # Minari writes in place: made elsewhere and moved, a data set is complete when its id appears.
    check_room(get_dataset_path(), _size(dataset))  # a full disk would end the process in HDF5
    with scratch_folder() as scratch:
        with datasets_path(str(scratch)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each piece of metadata that is not given
            minari.create_dataset_from_buffers(
                dataset_id,
                list(_buffers(dataset, final_observations)),
                env=spec,
                eval_env=spec,
                observation_space=observation_space,
                action_space=action_space,
                description=json.dumps(dataset.provenance.to_dict()),
            )
        move_in(scratch, dataset_id, overwrite)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for a while, beside Minari's data sets, to make some in.

    Raises:
        DiskError: the disk is full or the like.
    """
    root = Path(get_dataset_path())
    with writing(root), temporary(root / "minari", folder=True) as scratch:
        yield scratch


def check_minari_target(dataset_id: str, overwrite: bool) -> None:
    """Raise an error where `write_minari` would not write.

    Raises:
        ValueError: `dataset_id` is no Minari id.
        FileExistsError: the id exists locally and `overwrite` is False.
        DiskError: Minari's folder cannot be written.
    """
    if not is_minari_id(dataset_id):
        raise ValueError(f"{dataset_id!r} is no Minari id: expected namespace/name-v0")
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets").expanduser()
    with writing(root):
        target = Path(get_dataset_path(dataset_id))  # makes Minari's folder
    check_absent(target, overwrite)
    check_writable(target, folder=True)


def move_in(scratch: Path, dataset_id: str, overwrite: bool) -> None:
    """Move a whole data set from another folder of Minari's kind to its place, atomically.

    Args:
        scratch: the other folder, on the same file system.
        dataset_id: the data set.
        overwrite: replace a data set of the same id.

    Raises:
        FileExistsError: the id exists locally and `overwrite` is False.
    """
    target = Path(get_dataset_path(dataset_id))
    namespace = parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    check_absent(target, overwrite)
    flush(scratch / dataset_id)
    put_folder(scratch / dataset_id, target)


@contextmanager
def datasets_path(folder: str) -> Iterator[None]:
    """Point Minari at another folder for a while."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = folder
    try:
        yield
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before


def _size(dataset: TrajectoryDataset) -> int:
    """Return an upper estimate of the bytes that Minari's files of a data set take."""
    rows = dataset.observations.nbytes + dataset.actions.nbytes + 3 * dataset.rewards.nbytes
    return rows + _EPISODE_BYTES * len(dataset)


def _spaces(dataset: TrajectoryDataset) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the spaces of observations and actions, the latter in the environment's units."""
    low = np.full(dataset.observation_dim, -np.inf, np.float32)
    observation_space = gym.spaces.Box(low, -low, dtype=np.float32)
    if dataset.num_actions is not None:
        return observation_space, gym.spaces.Discrete(dataset.num_actions)
    stored = ActionBounds.of_details(dataset.provenance.details)
    bounds = stored or ActionBounds.unit(dataset.action_dim)
    return observation_space, gym.spaces.Box(bounds.low, bounds.high, dtype=np.float32)


def _env_spec(provenance: Provenance) -> EnvSpec | None:
    if provenance.env_id is None:
        return None
    check_environment(provenance.env_id, f"the data of {provenance.where}")
    module, _, name = provenance.env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    spec = copy.deepcopy(gym.spec(name))
    spec.kwargs.update(provenance.details.get("env_kwargs", {}))
    return spec


def _buffers(dataset: TrajectoryDataset, final_observations: np.ndarray) -> Iterator[EpisodeBuffer]:
    bounds = ActionBounds.of_details(dataset.provenance.details)
    for i in range(len(dataset)):
        one = dataset.trajectory(i)
        end = np.zeros(len(one), bool)
        end[-1] = True
        yield EpisodeBuffer(
            id=i,
            observations=np.concatenate([one.observations, final_observations[i : i + 1]]),
            actions=one.actions if bounds is None else bounds.from_unit(one.actions),
            rewards=one.rewards,
            terminations=end & one.terminated,
            truncations=end & (not one.terminated),
        )
