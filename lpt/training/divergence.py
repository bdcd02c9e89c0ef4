"""Noticing the update in which training stops being finite, before anything of it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lpt.checkpoint.files import list_checkpoints
from lpt.config import TrainingConfig

WATCHED = ("loss/total", "optim/gradient_norm")
"""What an update reports that is not finite as soon as something in it is not."""
SHOWN = 8
"""How many of a batch's trajectories a message names."""
LATE = 16
"""Updates on an accelerator that are looked at together: each look waits for the device."""


class Divergence(ValueError):
    """A loss, a gradient or a weight is NaN or infinite; the message says what to do."""


class Watch:
    """Looks at what updates report, and at what is about to be saved."""

    def __init__(self, folder: Path, settings: TrainingConfig) -> None:
        """Watch the training of the run in a folder."""
        self.folder, self.settings = folder, settings
        self._unseen: list[tuple[int, Tensor, Tensor]] = []

    def see(self, update: int, scalars: Mapping[str, Any], drawn: Tensor) -> None:
        """Take in an update: its number from 1, what it reports, its trajectories `[B]`.

        Raises:
            Divergence: it, or one not yet looked at, is not finite.
        """
        values = torch.stack([torch.as_tensor(scalars[name]).detach() for name in WATCHED])
        self._unseen.append((update, values, drawn))
        if values.device.type == "cpu" or len(self._unseen) >= LATE:
            self.look()

    def look(self) -> None:
        """Look at what has been taken in; for before a save or an evaluation.

        Raises:
            Divergence: an update is not finite; the message names it and its trajectories.
        """
        unseen, self._unseen = self._unseen, []
        if not unseen or bool(torch.stack([values for _, values, _ in unseen]).isfinite().all()):
            return
        update, values, drawn = next(one for one in unseen if not one[1].isfinite().all())
        loss, norm = map(float, values)
        shown = ", ".join(map(str, drawn[:SHOWN].tolist())) + ", ..." * (len(drawn) > SHOWN)
        raise Divergence(
            f"training diverged in update {update}: loss {loss:g}, norm of the gradient {norm:g}, "
            f"on trajectories {shown} of the data; {self._mend()}"
        )

    def check(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Look at tensors that are about to be saved.

        Raises:
            Divergence: one of them is not finite.
        """
        self.look()
        if wrong := not_finite(tensors):
            raise Divergence(
                f"training diverged by update {updates}: {wrong} is not finite, so this is not "
                f"saved; {self._mend()}"
            )

    def _mend(self) -> str:
        saved = list_checkpoints(self.folder)
        kept = f"{saved[-1]} is from before and finite" if saved else "nothing was saved"
        return (
            f"{kept}. Start another run with a lower --training.learning-rate (now "
            f"{self.settings.learning_rate:g}) or --training.gradient-clip (now "
            f"{self.settings.gradient_clip:g}), or look for outliers in those trajectories"
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a tensor that holds NaN or infinity, None if there is none."""
    floats = (pair for pair in tensors.items() if pair[1].is_floating_point())
    return next((name for name, tensor in floats if not bool(tensor.isfinite().all())), None)
