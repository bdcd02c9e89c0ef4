"""Where a run's numbers and pictures go while it runs: TensorBoard, and wandb where asked.

Every scalar is explained in docs/scalars.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from lpt.config import Config, to_tree
from lpt.config.help import flat
from lpt.evaluation import Evaluation
from lpt.machine.files import write_text
from lpt.machine.offline import offline
from lpt.training.events import EventLog

if TYPE_CHECKING:  # drawn at an evaluation at the earliest
    from matplotlib.figure import Figure


def check_tracker(config: Config) -> None:
    """Raise ValueError if what is to track the run is not installed."""
    if config.track == "wandb" and importlib.util.find_spec("wandb") is None:
        raise ValueError(
            "--track wandb: wandb is not installed: pip install 'lpt-toolkit[wandb]', or leave "
            "--track out"
        )


class Board:
    """Takes scalars and images of one run."""

    def __init__(self, config: Config, folder: Path, updates: int | None = None) -> None:
        """Open the files of a run.

        Args:
            config: the run's.
            folder: the run's.
            updates: from which it goes on; what TensorBoard has of later ones, from before a crash,
                is void. None: it is over, and something is added.
        """
        self.config = config
        void_from = updates + 1 if updates else None
        self._log = EventLog(folder, void_from)
        self._wandb = _start_wandb(config, folder) if config.track == "wandb" else None
        if updates == 0:
            text = yaml.safe_dump(to_tree(config), sort_keys=False)
            self._log.text("config", f"```yaml\n{text}```")

    def scalars(self, values: dict[str, float], updates: int) -> None:
        """Write scalars by name."""
        self._log.scalars(values, updates)
        if self._wandb is not None:
            self._wandb.log(values, step=updates)

    def evaluation(self, evaluation: Evaluation, updates: int) -> None:
        """Write what an evaluation gave."""
        values = {
            "evaluation/return": float(np.mean(evaluation.returns)),
            "evaluation/length": float(np.mean(evaluation.lengths)),
            "evaluation/predicted_return": evaluation.predicted_return,
        }
        if evaluation.score is not None:
            values["evaluation/score"] = evaluation.score
        if evaluation.successes is not None:
            values["evaluation/success"] = float(np.mean(evaluation.successes))
        self.scalars(values, updates)

    def image(self, name: str, figure: Figure, updates: int) -> None:
        """Write a picture."""
        pixels = _pixels(figure)
        self._log.image(name, pixels, updates)
        if self._wandb is not None:
            self._wandb.log({name: _module().Image(pixels)}, step=updates)

    def final(self, metrics: dict[str, float]) -> None:
        """Write a finished run's settings beside its results, for TensorBoard's table of runs."""
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in flat(to_tree(self.config)).items()
        }
        final = {f"final/{name}": value for name, value in metrics.items()}
        self._log.settings(plain, final)
        self.scalars(final, self.config.updates)

    def close(self) -> None:
        """Write all that is left."""
        self._log.close()
        if self._wandb is not None:
            self._wandb.finish()


def _start_wandb(config: Config, folder: Path) -> Any:
    """Return the folder's run of wandb; with LPT_OFFLINE=1 its files wait in `folder/wandb`."""
    name = folder / "wandb-id"
    if not name.is_file():
        write_text(secrets.token_hex(4), name)
    return _module().init(
        project=os.environ.get("WANDB_PROJECT", "lpt"),
        id=name.read_text(encoding="utf-8"),
        resume="allow",
        name="/".join(folder.parts[-2:]),
        dir=str(folder),
        config=to_tree(config),
        mode="offline" if offline() else None,
    )


def _module() -> Any:
    return importlib.import_module("wandb")


def _pixels(figure: Figure) -> np.ndarray:
    """Return a figure as `[height, width, 3]` bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
