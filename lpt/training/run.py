"""A training run: its folder, and when it is logged, evaluated and saved.

The folder, `runs/<task>/<engine>-seed<k>/`, holds:

- `config.yaml`: the resolved configuration
- `checkpoints/`: the last two, whole (see `lpt.checkpoint.files`)
- `best/`: the policy of the best periodic evaluation
- `evaluations.jsonl`: one line for each evaluation, the curve of score against updates
- `results/<task>/<algorithm>/seed<k>.json`: of the finished run
- `events.out.tfevents...`: TensorBoard (`lpt.training.board`)
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from lpt.checkpoint.files import (
    checkpoint_folder,
    save_checkpoint,
    save_policy,
)
from lpt.checkpoint.metadata import PolicyMetadata, ReturnQuantiles
from lpt.config import Config, to_tree
from lpt.config.trust import check_environment
from lpt.evaluation import LPTPolicy, evaluate
from lpt.machine.files import write_text
from lpt.machine.locks import FolderLock
from lpt.reporting.curve import add_point, drop_later
from lpt.training.board import Board, check_tracker
from lpt.training.diagnosis import diagnose
from lpt.training.divergence import Watch
from lpt.training.final import evaluate_finally
from lpt.training.progress import Progress
from lpt.training.restoring import restore
from lpt.training.signals import Interrupted, StopRequest
from lpt.training.trainer import Trainer


class Run:
    """One training run in its folder; `train` to the end, `finish` with the results."""

    def __init__(
        self,
        config: Config,
        trainer: Trainer,
        log: Callable[[str], None],
        lock: FolderLock | None = None,
    ) -> None:
        """Begin a run; `lock` is held on its folder by the process that writes there."""
        self.config, self.trainer, self.log, self.lock = config, trainer, log, lock
        self.folder, self.ranks = config.run, trainer.ranks
        check_tracker(config)
        self._check_evaluation()
        self.watch = Watch(self.folder, config.training)
        self.wall_seconds, self.best_return = 0.0, -np.inf
        self.last_return: float | None = None
        self.best_updates: int | None = None
        if self.ranks.first:
            text = yaml.safe_dump(to_tree(config), sort_keys=False)
            write_text(text, self.folder / "config.yaml", overwrite=True)
        self._stop = StopRequest()

    @property
    def env_id(self) -> str | None:
        """Where policies are evaluated: the configured environment, or the data's own.

        Raises:
            ValueError: if the data's own would run unknown code.
        """
        origin = self.trainer.dataset.provenance
        if self.config.env_id is not None or origin.env_id is None:
            return self.config.env_id
        return check_environment(origin.env_id, f"the data of {origin.where}")

    def metadata(self) -> PolicyMetadata:
        """Return what the policy needs besides its weights."""
        data = self.trainer.dataset
        quantiles = self.trainer.batches.sampler.return_quantiles(ReturnQuantiles.SHARES)
        return PolicyMetadata(
            task=self.config.task,
            algorithm=self.config.algorithm,
            env_id=self.env_id,
            updates=self.trainer.updates,
            seed=self.config.seed,
            spaces=self.trainer.model.spaces,
            observation_mean=tuple(map(float, data.observation_mean)),
            observation_std=tuple(map(float, data.observation_std)),
            return_mean=data.return_mean,
            return_std=data.return_std,
            return_quantiles=ReturnQuantiles.from_values(quantiles),
            provenance=data.provenance.to_dict(),
            config=self.config,
        )

    def policy(self) -> LPTPolicy:
        """Return the present policy (averaged weights)."""
        return LPTPolicy(
            self.trainer.policy_model,
            self.metadata(),
            planning=self.config.planning,
            target=self.config.evaluation.target,
            device=str(self.trainer.device),
            seed=self.config.evaluation_seed,
        )

    def _check_evaluation(self) -> None:
        """Raise ValueError for what the first evaluation would refuse, before anything begins."""
        policy = self.policy()
        if self.env_id is not None:
            environment = policy.environment(self.env_id)
            try:
                policy.check(environment)
            finally:
                environment.close()

    def train(self) -> None:
        """Update until `config.updates`, logging, evaluating and saving on the way.

        Raises:
            Interrupted: on SIGTERM or SIGINT, after saving.
            Divergence: if a loss or weight is not finite; what is saved is from before.
            DiskError: if the disk is full or the like; what is saved is whole.
            ProcessLost: if another process of the run has gone.
        """
        with self.alone():
            self._train()

    @contextmanager
    def alone(self, *, last: bool = False) -> Iterator[None]:
        """Hold the run's folder, until an error, or until the end of what is done `last`."""
        if self.lock is not None:
            self.lock.acquire()
        try:
            yield
        except BaseException:
            last = True
            raise
        finally:
            if last and self.lock is not None:
                self.lock.release()

    def _train(self) -> None:
        self.log(f"run: {self.folder} (tensorboard --logdir {self.folder})")
        made = self.trainer.updates
        board = Board(self.config, self.folder, made) if self.ranks.first else None
        progress = Progress(self.config, made, board, self.log)
        try:
            with self._stop.noted():
                self._learn(progress)
        finally:
            progress.close()

    def _learn(self, progress: Progress) -> None:
        saved = time.monotonic()
        while self.trainer.updates < self.config.updates:
            began = time.monotonic()
            self._update(progress)
            self.wall_seconds += time.monotonic() - began
            due = (time.monotonic() - saved) / 60 >= self.config.training.checkpoint_minutes
            stop, due = self.ranks.any(self._stop.number is not None, due)
            if stop or due:
                self.save()
                saved = time.monotonic()
            if stop:
                number = self._stop.number or signal.SIGTERM
                folder = checkpoint_folder(self.folder, self.trainer.updates)
                raise Interrupted(number, folder)
        self.save()

    def _update(self, progress: Progress) -> None:
        """Make an update, and the logging and evaluation that are due after it."""
        settings = self.config.training
        with progress.timed():
            scalars = self.trainer.update()
            made = self.trainer.updates
            self.watch.see(made, scalars, self.trainer.batches.drawn)
            progress.update(scalars)
        progress.tell_time(made)
        if made % settings.log_every == 0 or made == self.config.updates:
            progress.show(made, diagnose(self.trainer), self.last_return)
        if settings.evaluate_every and made % settings.evaluate_every == 0:
            if self.ranks.count > 1:  # torchrun may kill who is stopped in an evaluation
                self.save()
            self._evaluate(progress.board)

    def _evaluate(self, board: Board | None) -> None:
        if self.env_id is None or board is None:
            return
        from lpt.reporting.figures import trajectories_figure  # seconds, when a run begins

        self.watch.look()
        evaluation = evaluate(
            self.policy(),
            self.env_id,
            episodes=self.config.training.evaluate_episodes,
            seed=self.config.periodic_evaluation_seed,
            deterministic=self.config.evaluation.deterministic,
            parallel=self.config.evaluation.parallel,
            record=True,
            progress=True,
        )
        self.last_return = float(np.mean(evaluation.returns))
        record = {
            "updates": self.trainer.updates,
            "wall_seconds": self.wall_seconds,
            "target": evaluation.target,
            "weight": evaluation.weight,
            "score": evaluation.score,
            "returns": [float(value) for value in evaluation.returns],
        }
        add_point(self.folder, record)
        board.evaluation(evaluation, self.trainer.updates)
        board.image("evaluation/episodes", trajectories_figure(evaluation), self.trainer.updates)
        if self.last_return > self.best_return:
            self.best_return = self.last_return
            weights = self.trainer.policy_model.state_dict()
            self.best_updates = self.trainer.updates
            self.watch.check(weights, self.trainer.updates)
            save_policy(self.folder / "best", weights, self.metadata())

    def save(self) -> Path:
        """Write a checkpoint that resumes exactly here; all processes must save together.

        Raises:
            Divergence: if something of it is not finite; what was saved before stays.
            DiskError: if the disk is full or the like; what was saved before stays.
        """
        tensors, values = self.trainer.state()
        self.watch.check(tensors, self.trainer.updates)
        values |= {
            "wall_seconds": self.wall_seconds,
            "best_return": _finite(self.best_return),
            "best_updates": self.best_updates,
        }
        weights = self.trainer.policy_model.state_dict()
        metadata = self.metadata()
        if self.ranks.first:
            save_checkpoint(self.folder, metadata.updates, weights, metadata, tensors, values)
        self.ranks.wait()
        return checkpoint_folder(self.folder, metadata.updates)

    def restore(self, checkpoint: Path) -> None:
        """Continue from a checkpoint of this run.

        Raises:
            ValueError: if the run began with other data, had diverged before it was saved, or the
                checkpoint is damaged.
        """
        values = restore(self.trainer, checkpoint)
        self.wall_seconds = values["wall_seconds"]
        best, self.best_updates = values["best_return"], values["best_updates"]
        self.best_return = -np.inf if best is None else best
        if self.ranks.first:
            drop_later(self.folder, self.trainer.updates)
        self.log(f"resumed {self.folder} at update {self.trainer.updates}")

    def finish(self) -> None:
        """Evaluate the last and the best checkpoint, as LPT and as LPT-EI; print and store them."""
        with self.alone(last=True):
            if self.ranks.first:
                self._evaluate_finally()
            self.ranks.wait()  # all leave together

    def _evaluate_finally(self) -> None:
        if self.env_id is None:
            self.log(
                f"no environment to evaluate in; next: lpt-eval {self.folder} --env-id "
                "my_package:My-v0"
            )
            return
        results = evaluate_finally(
            self.config,
            self.metadata(),
            self.env_id,
            device=str(self.trainer.device),
            log=self.log,
            wall_seconds=self.wall_seconds,
            best_updates=self.best_updates,
        )
        self.log(f"results: {results}\nnext: lpt-eval {self.folder} --plot episodes.png")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
