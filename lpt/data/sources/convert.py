"""Converting data to a folder of memory-mapped arrays, in bounded memory."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from lpt.config import DatasetConfig
from lpt.data.blocks import scratch
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.mapped import check_target, read_mapped, write_mapped
from lpt.data.sources.load import load
from lpt.data.sources.source import Log


def convert(
    task_or_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    source: str = "auto",
    *,
    discrete: bool | None = None,
    overwrite: bool = False,
    log: Log | None = print,
) -> TrajectoryDataset:
    """Convert what `load` finds to a folder, and open that.

    The data go through the same reading, checking and cutting as in `load`, but in files beside
    `folder` instead of memory, a block at a time; only flags and offsets are held (some bytes a
    step). The fingerprint is the same. NPZ and games files are read whole.

    Args:
        task_or_path: as of `load`.
        folder: to make; its name ends in `.lpt`.
        config: as of `load`; `min_length` is fixed by the conversion.
        source: as of `load`.
        discrete: as of `load`.
        overwrite: replace a converted folder.
        log: receives the lines to print; None is silent.

    Raises:
        FileNotFoundError: there is no such data on this machine.
        FileExistsError: the folder exists and `overwrite` is False, or it is something else.
        ValueError: unknown task or source, malformed data, or a folder of another ending.
        OSError: there is no room on the disk: twice the folder's size is needed meanwhile.
    """
    check_target(folder, overwrite)
    disk = Path(folder).parent
    disk.mkdir(parents=True, exist_ok=True)
    empty = partial(scratch, disk)
    dataset = load(task_or_path, config, source, discrete=discrete, log=log, empty=empty)
    write_mapped(folder, dataset, overwrite=overwrite)
    return read_mapped(folder)
