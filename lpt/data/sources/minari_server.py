"""Fetching Minari data sets over the net: from Hugging Face, or where `MINARI_REMOTE` says."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from urllib import error, request

import minari
from minari.storage.remotes import DEFAULT_REMOTE

from lpt.data.formats.minari import is_minari_id
from lpt.data.formats.minari_writer import datasets_path, move_in, scratch_folder
from lpt.data.sources.download import TIMEOUT
from lpt.machine.offline import OFFLINE, offline


def is_local(dataset_id: str) -> bool:
    """Return whether a Minari data set is on this machine."""
    return (minari_folder() / dataset_id / "data").is_dir()


def minari_folder() -> Path:
    """Return where Minari keeps its data, without making the folder, as Minari itself would."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def remote() -> str:
    """Return where data sets are fetched from, such as `hf://farama-minari`."""
    return os.environ.get("MINARI_REMOTE") or DEFAULT_REMOTE


def fetch_minari(dataset_id: str, *, timeout: float = TIMEOUT) -> None:
    """Download a Minari data set with `minari.download_dataset`; all of it appears, or nothing.

    Args:
        dataset_id: such as `mujoco/hopper/medium-v0`.
        timeout: seconds to wait for the server's first answer. Minari's own client, which then
            takes over, tries for half a minute before it gives up.

    Raises:
        FileNotFoundError: it could not be had, or `LPT_OFFLINE` is set; says what to do instead.
        ValueError: `dataset_id` is no Minari id.
    """
    if not is_minari_id(dataset_id):
        raise ValueError(f"{dataset_id!r} is no Minari id: expected namespace/name-v0")
    if offline():
        raise _failure(dataset_id, f"{OFFLINE} is set")
    try:
        _check_reachable(timeout)
        # Minari downloads in place: made elsewhere and moved, a data set is whole when it appears.
        with scratch_folder() as scratch:
            with datasets_path(str(scratch)), redirect_stdout(sys.stderr):
                minari.download_dataset(dataset_id)
                arrived = minari.list_local_datasets()  # it and those that it is combined of
            for found in arrived:
                if not is_local(found):
                    move_in(scratch, found, overwrite=False)
    except ImportError as problem:
        what = "huggingface_hub is not installed: pip install 'lpt-toolkit[minari]'"
        if not remote().startswith("hf://"):
            what = str(problem)  # Minari says what this remote needs
        raise _failure(dataset_id, what) from problem
    except Exception as problem:  # Minari lets through whatever its HTTP library raises
        raise _failure(dataset_id, f"{type(problem).__name__}: {problem}") from problem


def _check_reachable(timeout: float) -> None:
    """Raise OSError if the hub does not answer in time; any answer will do."""
    if not remote().startswith("hf://"):
        return
    import huggingface_hub.constants as hub

    try:
        with request.urlopen(request.Request(hub.ENDPOINT, method="HEAD"), timeout=timeout):
            return
    except error.HTTPError as answer:
        answer.close()
    except (TimeoutError, error.URLError) as problem:
        reason = getattr(problem, "reason", problem)
        raise OSError(f"{hub.ENDPOINT} cannot be reached ({reason})") from problem


def _failure(dataset_id: str, reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"Minari data set {dataset_id!r} is not in {minari_folder()}, and was not downloaded from "
        f"{remote()} ({reason.strip().rstrip('.')}). Run 'minari download {dataset_id}' where "
        "there is a network and copy the folder here, or set MINARI_DATASETS_PATH to where it lies."
    )
