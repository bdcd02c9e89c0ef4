"""Taking a trainer back to a checkpoint, which may be damaged, or of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lpt.checkpoint.files import load_policy_files, load_training_state
from lpt.machine.untrusted import one_line
from lpt.training.divergence import not_finite
from lpt.training.trainer import Trainer

OF_THE_RUN = ("wall_seconds", "best_return", "best_updates")
"""What a training state tells of the run, besides the trainer's part."""


def restore(trainer: Trainer, checkpoint: Path) -> dict[str, Any]:
    """Have a trainer continue from a checkpoint; returns what it tells of the run.

    Raises:
        ValueError: if the run began with other data, had diverged before it was saved, or the
            checkpoint is damaged.
    """
    tensors, values = load_training_state(checkpoint)
    if wrong := not_finite(tensors):
        raise ValueError(
            f"{checkpoint}: {wrong} is not finite, the run had diverged: start another one with a "
            "lower --training.learning-rate"
        )
    _check_data(trainer, checkpoint)
    try:
        trainer.load_state(tensors, values)
        return {name: values[name] for name in OF_THE_RUN}
    except (KeyError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise ValueError(
            f"{checkpoint}: its training state is not that of a run ({one_line(error)}): resume "
            "from another checkpoint, by removing this one"
        ) from error


def _check_data(trainer: Trainer, checkpoint: Path) -> None:
    """Raise ValueError unless the data are those that the run began with."""
    _, metadata = load_policy_files(checkpoint)
    began = metadata.provenance.get("fingerprint", "unknown")
    now = trainer.dataset.provenance.fingerprint
    if began != now:
        raise ValueError(
            f"{trainer.config.run} was trained on data {began[:12]}..., these are {now[:12]}...: "
            "resume with the same --source"
        )
