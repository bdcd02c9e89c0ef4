"""Reading Minari data sets that are on this machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.storage import get_dataset_path

from lpt.config import DatasetConfig
from lpt.data.action_bounds import DETAIL, ActionBounds
from lpt.data.blocks import Allocate, release
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.minari_files import MinariFiles
from lpt.data.limits import check_expansion, check_memory
from lpt.data.provenance import Provenance
from lpt.machine.untrusted import parse_object, parsing


def is_minari_id(name: str) -> bool:
    """Return whether `name` has the form namespace/name-v0 of a Minari id."""
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
    """Read a local Minari data set.

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
    folder = Path(get_dataset_path(dataset_id)) / "data"
    if not folder.exists():
        raise FileNotFoundError(
            f"Minari data set {dataset_id!r} is not in {get_dataset_path()}: run "
            f"'minari download {dataset_id}', or set MINARI_DATASETS_PATH"
        )
    where = f"Minari data set {dataset_id}"
    damaged = f"{where}: the files in {folder.parent} are damaged"
    mend = f"Delete them and run 'minari download {dataset_id}'."
    source = MinariFiles.open(folder, damaged, mend)
    with parsing(damaged, mend):
        space = source.action_space
        known, details = _describe(source, dataset_id, origin)
        bounds = None if discrete else ActionBounds.of_space(space)
        _check_sizes(source, where, in_memory=empty is np.empty)
        arrays, clipped = _episodes(source, where, empty, bounds)
    if bounds is not None:
        details |= {DETAIL: bounds.to_details(), "clipped_actions": clipped}
    details |= known.details
    return TrajectoryDataset.from_offsets(
        **arrays,
        provenance=Provenance("minari", known.id, known.env_id, details=details),
        config=config,
        discrete=isinstance(space, gym.spaces.Discrete) if discrete is None else discrete,
        num_actions=int(space.n) if isinstance(space, gym.spaces.Discrete) else None,
    )


def flatten_batch(space: gym.Space[Any], values: Any, where: str) -> np.ndarray:
    """Flatten a batch of elements of `space`; row t equals `gymnasium.spaces.flatten` of step t.

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
        flat: np.ndarray = np.asarray(values).reshape(len(values), -1)
        return flat
    if isinstance(space, gym.spaces.Discrete):
        numbers = np.asarray(values).reshape(-1) - space.start
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < space.n:
            raise ValueError(f"{where}: numbers from {numbers.min()} outside of {space}")
        one_hot = np.zeros((len(numbers), int(space.n)), np.float32)
        one_hot[np.arange(len(numbers)), numbers] = 1
        return one_hot
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


def _describe(
    source: MinariFiles, dataset_id: str, origin: Provenance | None
) -> tuple[Provenance, dict[str, Any]]:
    """Return what the caller knows, completed by the stored specification; and the details of that.

    Data that were generated for another task are evaluated in their own environment: scored in the
    task asked for, they would be wrong.
    """
    spec = source.spec
    own = _env_id(spec)
    description = source.metadata.description
    known = origin or Provenance("minari", dataset_id, own)
    if (task := _regenerated_task(description)) not in (None, known.id):
        known = Provenance("minari", task or "")
    known = replace(known, env_id=known.env_id or own)
    return known, {
        "path": str(get_dataset_path(dataset_id)),
        "minari_id": dataset_id,
        "minari_version": source.metadata.minari_version,
        "env_kwargs": spec.get("kwargs", {}) if known.env_id == own else {},
        "horizon": spec.get("max_episode_steps"),
        "description": description,
    }


def _episodes(
    source: MinariFiles, where: str, empty: Allocate, bounds: ActionBounds | None
) -> tuple[dict[str, np.ndarray], int]:
    """Read all episodes into arrays allocated once, and count actions out of bounds."""
    count, steps = source.metadata.total_episodes, source.metadata.total_steps
    space, action_space = source.observation_space, source.action_space
    observations = empty((steps, gym.spaces.flatdim(space)), np.float32)
    rewards = empty((steps,), np.float32)
    if isinstance(action_space, gym.spaces.Discrete):
        actions = empty((steps,), np.int64)
    else:
        actions = empty((steps, gym.spaces.flatdim(action_space)), np.float32)
    offsets, terminated, clipped = np.zeros(count + 1, np.int64), np.zeros(count, bool), 0
    for i, episode in enumerate(source.episodes()):
        start, end = offsets[i], offsets[i] + len(episode["rewards"])
        offsets[i + 1] = end
        observations[start:end] = flatten_batch(space, episode["observations"], where)[:-1]
        rewards[start:end] = episode["rewards"]
        terminated[i] = episode["terminations"][-1]
        if isinstance(action_space, gym.spaces.Discrete):
            actions[start:end] = np.asarray(episode["actions"]).reshape(-1) - action_space.start
        else:
            actions[start:end] = flatten_batch(action_space, episode["actions"], where)
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


def _check_sizes(source: MinariFiles, where: str, in_memory: bool) -> None:
    """Raise ValueError if the data set declares more than its file can hold, or memory."""
    spaces = (source.observation_space, source.action_space)
    entries = sum(gym.spaces.flatdim(space) for space in spaces)
    metadata = source.metadata
    declared = metadata.total_steps * 4 * (entries + 1) + metadata.total_episodes * 9
    check_expansion(declared, source.stored_bytes, where)
    if in_memory:
        check_memory(declared, where)


def _regenerated_task(description: str | None) -> str | None:
    """Return the task of data that this toolkit generated (`write_minari`), None for others."""
    try:
        record = Provenance.from_dict(parse_object(description or ""))
    except ValueError:
        return None
    return record.id if record.source == "regenerated" else None


def _env_id(spec: dict[str, Any]) -> str | None:
    """Return the id to make the environment by, with the package that registers it in front."""
    if not isinstance(spec.get("id"), str):
        return None
    package = re.split(r"[.:]", str(spec.get("entry_point") or "gymnasium"))[0]
    return str(spec["id"]) if package == "gymnasium" else f"{package}:{spec['id']}"
