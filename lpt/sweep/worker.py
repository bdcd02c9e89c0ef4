"""One run of a sweep in this process: `python -m lpt.sweep.worker`.

The configuration comes as one line of JSON on stdin, which then stays open: when it closes, the
sweep is gone, and the run saves and stops instead of going on unseen.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading

from lpt.checkpoint.files import list_checkpoints
from lpt.config import Config, from_tree
from lpt.machine.locks import FolderLock
from lpt.training.opening import resume, start
from lpt.training.run import Run
from lpt.training.signals import Interrupted


def run_here(config: Config) -> int:
    """Start the run, or goes on from its last checkpoint, to its results.

    A run folder without a checkpoint is what an attempt left that came to nothing: it is removed.

    Returns:
        0, or 128 + the signal that stopped the run, whose state is then saved.
    """
    if config.run.exists() and not list_checkpoints(config.run):
        with FolderLock(config.run):  # not while another process is at its first updates there
            shutil.rmtree(config.run)
    try:
        run = _open(config)
        run.train()
        run.finish()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.number
    return 0


def _open(config: Config) -> Run:
    if not list_checkpoints(config.run):
        return start(config)
    return resume(
        config.run,
        source=config.source,
        device=config.device,
        results=config.results,
        env_id=config.env_id,
    )


def _stop_at_end_of_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # sys.stdin.read() would hold a lock that exiting needs
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    asked = from_tree(json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    sys.exit(run_here(asked))
