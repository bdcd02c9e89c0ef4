"""Checkpoints: folders of safetensors and JSON, written atomically, read without running code.

    runs/<task>/<engine>-seed<k>/
        checkpoints/00001000/policy.safetensors    weights the policy uses
                             policy.json           PolicyMetadata
                             training.safetensors  what resuming needs besides
                             training.json
        best/policy.safetensors, policy.json

A folder is written under a temporary name, flushed to the disk and renamed, so a folder with a
checkpoint's name is always whole: a `kill -9` or a power cut during a save loses that save only.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor

from lpt.checkpoint import upgrade
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.checkpoint.places import locate
from lpt.checkpoint.training_record import check_training
from lpt.machine.disk import flush, writing
from lpt.machine.files import OLD, put_folder
from lpt.machine.temporaries import temporary
from lpt.machine.untrusted import LARGEST_RECORD, one_line, parse_object, read_bounded

POLICY_TENSORS, POLICY_JSON = "policy.safetensors", "policy.json"
TRAINING_TENSORS, TRAINING_JSON = "training.safetensors", "training.json"
Which = Literal["last", "best"]
_TRASH = ".tmp-"


def checkpoint_folder(run: Path | str, updates: int) -> Path:
    """Where the checkpoint after so many updates is, or would be."""
    return Path(run) / "checkpoints" / f"{updates:08d}"


def save_checkpoint(
    run: Path | str,
    updates: int,
    model_state: dict[str, Tensor],
    metadata: PolicyMetadata,
    training_tensors: dict[str, Tensor],
    training_json: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Write `run/checkpoints/<updates>/` atomically, then remove all but the last `keep`.

    Args:
        run: the run's folder, made if missing.
        updates: updates made; names the folder.
        model_state: weights the policy uses, flat names.
        metadata: what the policy needs besides.
        training_tensors: flat names; whatever resuming needs.
        training_json: plain JSON types; whatever resuming needs.
        keep: checkpoints to keep, at least 1.

    Returns:
        The checkpoint's folder.

    Raises:
        DiskError: the disk is full or the like; what was saved before is as it was.
    """
    folder = checkpoint_folder(run, updates)
    tensors = {POLICY_TENSORS: model_state, TRAINING_TENSORS: training_tensors}
    records = {POLICY_JSON: metadata.to_dict(), TRAINING_JSON: training_json}
    _publish(folder, tensors, records)
    for old in list_checkpoints(run)[:-keep]:
        # Renamed first: a half-deleted folder must not keep a checkpoint's name.
        trash = old.with_name(f"{_TRASH}{old.name}")
        shutil.rmtree(trash, ignore_errors=True)
        old.rename(trash)
        shutil.rmtree(trash)
    return folder


def save_policy(
    folder: Path | str, model_state: dict[str, Tensor], metadata: PolicyMetadata
) -> Path:
    """Write (or atomically replace) a folder with a policy only, such as `run/best`."""
    folder = Path(folder)
    _publish(folder, {POLICY_TENSORS: model_state}, {POLICY_JSON: metadata.to_dict()})
    return folder


def list_checkpoints(run: Path | str) -> list[Path]:
    """Return the whole checkpoints of a run, fewest updates first; incomplete ones are left out."""
    needed = (POLICY_TENSORS, POLICY_JSON, TRAINING_TENSORS, TRAINING_JSON)
    found: dict[int, Path] = {}
    # Sorted, so that a checkpoint comes after the one it replaced and wins.
    for path in sorted((Path(run) / "checkpoints").glob("*")):
        match = re.fullmatch(rf"(?:{re.escape(OLD)})?(\d+)", path.name)
        if match and all((path / name).is_file() for name in needed):
            found[int(match[1])] = path
    return [found[updates] for updates in sorted(found)]


def latest_checkpoint(run: Path | str) -> Path:
    """Return the run's whole checkpoint of the most updates.

    Raises:
        FileNotFoundError: if there is no such run or it has no checkpoint; says what is there.
    """
    run = Path(run)
    if not run.is_dir():
        near = _children(run.parent)
        raise FileNotFoundError(f"no run at {run}: {run.parent} holds {near}")
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        inside = f"; its checkpoints folder holds {_children(run / 'checkpoints')}"
        inside = inside if (run / "checkpoints").is_dir() else ""
        raise FileNotFoundError(
            f"{run} has no checkpoint: it holds {_children(run)}{inside}; give a run folder that "
            "lpt-train wrote (runs/<task>/<engine>-seed<k>), or train it further"
        )
    return checkpoints[-1]


def policy_folder(path: Path | str, which: Which = "last") -> Path:
    """Return the folder with the policy of a run (its last checkpoint or `best`) or checkpoint.

    `pretrained:NAME` and `hf:USER/NAME` are policies elsewhere, see `lpt.checkpoint.places`.

    Raises:
        FileNotFoundError: if there is none; says what is there.
        ValueError: if `which` is neither `last` nor `best`.
    """
    path = locate(path)
    if which not in ("last", "best"):
        raise ValueError(f"which={which!r} must be 'last' or 'best'")
    if (path / POLICY_JSON).is_file() or (path / POLICY_TENSORS).is_file():
        return path
    if which == "last" or not path.is_dir():
        return latest_checkpoint(path)
    best = path / "best"
    replaced = best.with_name(OLD + best.name)  # killed between the two renames
    if not best.is_dir() and replaced.is_dir():
        return replaced
    if not best.is_dir():
        raise FileNotFoundError(
            f"{path} has no best checkpoint: it holds {_children(path)}; use which='last', or "
            "train with periodic evaluations"
        )
    return best


def load_policy_files(
    path: Path | str, which: Which = "last"
) -> tuple[dict[str, Tensor], PolicyMetadata]:
    """Weights and metadata of a run's or checkpoint's policy, on the CPU.

    Raises:
        FileNotFoundError: if there is no policy at `path`.
        ValueError: if a file is damaged, incomplete or of another format version.
    """
    folder = policy_folder(path, which)
    metadata = PolicyMetadata.from_dict(_read_json(folder / POLICY_JSON), str(folder / POLICY_JSON))
    return upgrade.weights(_read_tensors(folder / POLICY_TENSORS)), metadata


def load_training_state(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON for resuming, of a checkpoint folder or a run's last checkpoint.

    Raises:
        FileNotFoundError: if there is none, or the folder holds a policy only.
        ValueError: if a file is damaged.
    """
    folder = policy_folder(path)
    tensors, values = _read_tensors(folder / TRAINING_TENSORS), _read_json(folder / TRAINING_JSON)
    check_training(values, str(folder / TRAINING_JSON))
    return upgrade.training_state(tensors, values)


def _publish(
    folder: Path, tensors: dict[str, dict[str, Tensor]], records: dict[str, dict[str, Any]]
) -> None:
    """Write a folder under a temporary name, flush it, and rename it into place.

    Raises:
        DiskError: the disk is full or the like; what was there is as it was.
    """
    parent = folder.parent
    with writing(folder):
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f"{_TRASH}*"):  # of killed saves
            shutil.rmtree(stale, ignore_errors=True)
        with temporary(folder, folder=True) as made:
            for name, content in tensors.items():
                save_file(_storable(content), made / name)
            for name, record in records.items():
                (made / name).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            flush(made)
            put_folder(made, folder)


def _storable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors without shared storage, as safetensors asks."""
    storages: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        address = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if address in storages else tensor
        storages.add(address)
    return result


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors; they lie in the file as they are, and take no more than it does."""
    _require(path)
    try:
        return load_file(path)
    except Exception as error:  # its parser raises KeyError and others besides its own error
        raise ValueError(_damaged(path, one_line(error))) from error


def _read_json(path: Path) -> dict[str, Any]:
    _require(path)
    try:
        return parse_object(read_bounded(path, LARGEST_RECORD).decode("utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(_damaged(path, one_line(error))) from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {path.parent} holds {_children(path.parent)}")


def _damaged(path: Path, error: object) -> str:
    others = [str(p) for p in list_checkpoints(path.parent.parent.parent) if p != path.parent]
    mend = f"load {others[-1]} instead" if others else "copy it again or train the run again"
    return f"{path} is damaged ({error}): {mend}"


def _children(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing (no such folder)"
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir())
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "nothing"
