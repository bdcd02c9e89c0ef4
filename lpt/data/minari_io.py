"""Minari data sets: reading local ids, and writing data sets that Minari's own tools open."""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import tempfile
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
from minari.dataset.minari_dataset import DATASET_ID_RE, parse_dataset_id
from minari.namespace import create_namespace, list_local_namespaces
from minari.storage import get_dataset_path

from lpt.data.action_bounds import DETAIL, ActionBounds
from lpt.data.blocks import Allocate, release
from lpt.data.dataset import DatasetConfig, TrajectoryDataset
from lpt.data.files import check_absent
from lpt.data.provenance import Provenance


def is_minari_id(name: str) -> bool:
    """Returns whether `name` has the form namespace/name-v0 of a Minari id."""
    match = DATASET_ID_RE.fullmatch(name)
    return match is not None and match["namespace"] is not None and match["version"] is not None


def read_minari(
    dataset_id: str,
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
    empty: Allocate = np.empty,
) -> TrajectoryDataset:
    """Reads a local Minari data set.

    Structured observations are flattened as by `gymnasium.spaces.flatten` (Dict spaces in sorted
    order of their keys, as gymnasium sorts plain dictionaries and as Minari stores them). An
    episode whose last step has `terminations` set truly terminated. Where the config has no
    horizon, the time limit of the environment is taken. The observation after an episode's last
    action is not used. Actions of other bounds than [-1, 1] are mapped onto these
    (`lpt.data.action_bounds`).

    Args:
        dataset_id: such as `mujoco/hopper/medium-v0`.
        config: options; the defaults if None.
        discrete: whether actions are discrete; None follows the action space.
        origin: `id` and `env_id` of the task, if the data are read for one.
        empty: makes the arrays that the episodes are read into.

    Raises:
        FileNotFoundError: the data set is not on this machine.
        ValueError: a space that cannot be flattened, or malformed data.
    """
    try:
        source = minari.load_dataset(dataset_id)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Minari data set {dataset_id!r} is not in {get_dataset_path()}: run "
            f"'minari download {dataset_id}', or set MINARI_DATASETS_PATH"
        ) from error
    spec = _stored_spec(source)
    space = source.action_space
    description = source.storage.metadata.get("description")
    known = origin or Provenance("minari", dataset_id, _env_id(spec))
    if (task := _regenerated_task(description)) not in (None, known.id):
        known = Provenance("minari", task or "")  # scored in the task asked for, it would be wrong
    env_id = known.env_id or _env_id(spec)
    details = {
        "path": str(get_dataset_path(dataset_id)),
        "minari_id": dataset_id,
        "minari_version": source.spec.minari_version,
        "env_kwargs": spec.get("kwargs", {}) if env_id == _env_id(spec) else {},
        "horizon": spec.get("max_episode_steps"),
        "description": description,
    }
    bounds = None if discrete else ActionBounds.of_space(space)
    try:
        arrays, clipped = _episodes(source, f"Minari data set {dataset_id}", empty, bounds)
    except (OSError, KeyError) as error:
        raise ValueError(
            f"Minari data set {dataset_id}: the files in {details['path']} are damaged ({error}). "
            f"Delete them and run 'minari download {dataset_id}'."
        ) from error
    if bounds is not None:
        details |= {DETAIL: bounds.to_details(), "clipped_actions": clipped}
    return TrajectoryDataset.from_offsets(
        **arrays,
        provenance=Provenance("minari", known.id, env_id, details={**details, **known.details}),
        config=config,
        discrete=isinstance(space, gym.spaces.Discrete) if discrete is None else discrete,
        num_actions=int(space.n) if isinstance(space, gym.spaces.Discrete) else None,
    )


def write_minari(
    dataset_id: str,
    dataset: TrajectoryDataset,
    *,
    final_observations: np.ndarray | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a data set under a Minari id, atomically.

    Args:
        dataset_id: such as `lpt/maze2d-umaze-v1`.
        dataset: what to write.
        final_observations: `[n, obs_dim]`, the observation after each trajectory's last action,
            which Minari stores and this toolkit does not; None repeats the last observation.
        overwrite: replace a data set of the same id.

    Raises:
        ValueError: `dataset_id` is no Minari id.
        FileExistsError: the id exists locally and `overwrite` is False.
    """
    if not is_minari_id(dataset_id):
        raise ValueError(f"{dataset_id!r} is no Minari id: expected namespace/name-v0")
    target = Path(get_dataset_path(dataset_id))
    check_absent(target, overwrite)
    if final_observations is None:
        final_observations = dataset.observations[dataset.offsets[1:] - 1]
    low = np.full(dataset.obs_dim, -np.inf, np.float32)
    stored = ActionBounds.of_details(dataset.provenance.details)
    bounds = stored or ActionBounds.unit(dataset.action_dim)
    action_space: gym.Space = gym.spaces.Box(bounds.low, bounds.high, dtype=np.float32)
    if dataset.num_actions is not None:
        action_space = gym.spaces.Discrete(dataset.num_actions)
    spec = _env_spec(dataset.provenance)
    # Minari writes in place: made elsewhere and moved, a data set is complete when its id appears.
    with tempfile.TemporaryDirectory(prefix=".lpt-", dir=get_dataset_path()) as scratch:
        with datasets_path(scratch), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each piece of metadata that is not given
            minari.create_dataset_from_buffers(
                dataset_id,
                list(_buffers(dataset, final_observations)),
                env=spec,
                eval_env=spec,
                observation_space=gym.spaces.Box(low, -low, dtype=np.float32),
                action_space=action_space,
                description=json.dumps(dataset.provenance.to_dict()),
            )
        move_in(Path(scratch), dataset_id, overwrite)


def move_in(scratch: Path, dataset_id: str, overwrite: bool) -> None:
    """Moves a whole data set from another folder of Minari's kind to its place, atomically.

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
    if target.exists():
        os.replace(target, scratch / "replaced")
    os.replace(scratch / dataset_id, target)


def flatten_batch(space: gym.Space, values: Any, where: str) -> np.ndarray:
    """Flattens a batch of elements of `space`; row t equals `gymnasium.spaces.flatten` of step t.

    Args:
        space: Box, Discrete, MultiBinary, or Dict and Tuple of such.
        values: `[T, ...]`, or a dictionary or tuple of such, as Minari stores them.
        where: name of the data for errors.

    Returns:
        `[T, flatdim(space)]`.

    Raises:
        ValueError: another kind of space.
    """
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        values = np.asarray(values)
        return values.reshape(len(values), -1)
    if isinstance(space, gym.spaces.Discrete):
        numbers = np.asarray(values).reshape(-1) - space.start
        return np.eye(int(space.n), dtype=np.float32)[numbers]
    if isinstance(space, gym.spaces.Dict):
        parts = [flatten_batch(sub, values[key], where) for key, sub in space.spaces.items()]
        return np.concatenate(parts, axis=1)
    if isinstance(space, gym.spaces.Tuple):
        parts = [flatten_batch(s, v, where) for s, v in zip(space.spaces, values, strict=True)]
        return np.concatenate(parts, axis=1)
    raise ValueError(
        f"{where}: cannot flatten a {type(space).__name__} space into numbers. Convert the data to "
        "NPZ with numeric observations and actions."
    )


def _episodes(
    source: minari.MinariDataset, where: str, empty: Allocate, bounds: ActionBounds | None
) -> tuple[dict[str, np.ndarray], int]:
    """Reads all episodes into arrays that are allocated once, and counts actions out of bounds."""
    count, steps = len(source), int(source.total_steps)
    space, action_space = source.observation_space, source.action_space
    observations = empty((steps, gym.spaces.flatdim(space)), np.float32)
    rewards = empty((steps,), np.float32)
    if isinstance(action_space, gym.spaces.Discrete):
        actions = empty((steps,), np.int64)
    else:
        actions = empty((steps, gym.spaces.flatdim(action_space)), np.float32)
    offsets, terminated, clipped = np.zeros(count + 1, np.int64), np.zeros(count, bool), 0
    for i, episode in enumerate(source.iterate_episodes()):
        start, end = offsets[i], offsets[i] + len(episode.rewards)
        offsets[i + 1] = end
        observations[start:end] = flatten_batch(space, episode.observations, where)[:-1]
        rewards[start:end] = episode.rewards
        terminated[i] = episode.terminations[-1]
        if isinstance(action_space, gym.spaces.Discrete):
            actions[start:end] = np.asarray(episode.actions).reshape(-1) - action_space.start
        else:
            actions[start:end] = flatten_batch(action_space, episode.actions, where)
        if bounds is not None:
            clipped += bounds.outside(actions[start:end])
            actions[start:end] = bounds.to_unit(actions[start:end])
        release(observations, actions, rewards)
    arrays = {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "offsets": offsets,
        "terminated": terminated,
    }
    return arrays, clipped


def _stored_spec(source: minari.MinariDataset) -> dict[str, Any]:
    """Returns the stored spec of the evaluation environment, else of the recorded one, else {}."""
    metadata = source.storage.metadata
    text = metadata.get("eval_env_spec") or metadata.get("env_spec")
    return json.loads(text) if text else {}


def _regenerated_task(description: Any) -> str | None:
    """Returns the task of data that this toolkit generated (`write_minari`), None for others."""
    try:
        record = json.loads(description)
        return record["id"] if record["source"] == "regenerated" else None
    except (TypeError, KeyError, json.JSONDecodeError):
        return None


def _env_id(spec: dict[str, Any]) -> str | None:
    """Returns the id to make the environment by, with the package that registers it in front."""
    if "id" not in spec:
        return None
    package = re.split(r"[.:]", str(spec.get("entry_point") or "gymnasium"))[0]
    return spec["id"] if package == "gymnasium" else f"{package}:{spec['id']}"


def _env_spec(provenance: Provenance) -> EnvSpec | None:
    if provenance.env_id is None:
        return None
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


@contextmanager
def datasets_path(folder: str) -> Iterator[None]:
    """Points Minari at another folder for a while."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = folder
    try:
        yield
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before
