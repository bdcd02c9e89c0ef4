"""A training run: its folder, log, evaluations, checkpoints, and what it prints at the end.

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
from types import FrameType
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from lpt.checkpoint.files import (
    Which,
    checkpoint_folder,
    load_policy_files,
    load_training_state,
    save_checkpoint,
    save_policy,
)
from lpt.checkpoint.metadata import PolicyMetadata, ReturnQuantiles
from lpt.config import Config, to_tree
from lpt.config.trust import check_environment
from lpt.evaluation import Evaluation, LPTPolicy, evaluate
from lpt.inference.health import complaints
from lpt.machine.files import write_text
from lpt.machine.locks import FolderLock
from lpt.machine.untrusted import one_line
from lpt.reporting.console import print_evaluations
from lpt.reporting.curve import add_point, drop_later
from lpt.reporting.figures import trajectories_figure
from lpt.reporting.results import result_name, save_result
from lpt.training.board import Board, check_tracker
from lpt.training.divergence import Watch, not_finite
from lpt.training.meter import Meter
from lpt.training.trainer import Trainer

TIMED_UPDATES = 50
"""Updates by which the time of a run is estimated."""


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; saved {checkpoint}")
        self.number, self.folder = number, checkpoint.parent.parent


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
        self._stop: int | None = None
        self._warned: set[str] = set()

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
        quantiles = self.trainer.sampler.return_quantiles(ReturnQuantiles.SHARES)
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
        first = self.ranks.first
        board = Board(self.config, self.folder, self.trainer.updates) if first else None
        bar = tqdm(
            total=self.config.updates,
            initial=self.trainer.updates,
            desc=self.config.task,
            disable=not first,
        )
        try:
            with self._signals_noted():
                self._learn(board, bar)
        finally:
            bar.close()
            if board is not None:
                board.close()

    def _learn(self, board: Board | None, bar: Any) -> None:
        settings, meter, saved = self.config.training, Meter(), time.monotonic()
        timed = min(self.trainer.updates + TIMED_UPDATES, self.config.updates - 1)
        while self.trainer.updates < self.config.updates:
            began = time.monotonic()
            scalars = self.trainer.update()
            made = self.trainer.updates
            self.watch.see(made, scalars, self.trainer.drawn)
            meter.add(scalars)
            bar.update()
            meter.seconds += time.monotonic() - began
            if made == timed and board is not None:
                self._tell_time(bar, meter)
            if made % settings.log_every == 0 or made == self.config.updates:
                self._log(board, bar, meter)
            if settings.evaluate_every and made % settings.evaluate_every == 0:
                if self.ranks.count > 1:  # torchrun may kill who is stopped in an evaluation
                    self.save()
                self._evaluate(board)
            self.wall_seconds += time.monotonic() - began
            due = (time.monotonic() - saved) / 60 >= settings.checkpoint_minutes
            stop, due = self.ranks.any(self._stop is not None, due)
            if stop or due:
                self.save()
                saved = time.monotonic()
            if stop:
                number = self._stop or signal.SIGTERM
                raise Interrupted(number, checkpoint_folder(self.folder, made))
        self.save()

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """SIGTERM and SIGINT are remembered for the end of the update under way."""
        previous = [(s, signal.signal(s, self._on_signal)) for s in (signal.SIGTERM, signal.SIGINT)]
        try:
            yield
        finally:
            for number, handler in previous:
                signal.signal(number, handler)

    def _tell_time(self, bar: Any, meter: Meter) -> None:
        """Say how long the rest will take, by the updates made so far."""
        left = self.config.updates - self.trainer.updates
        seconds = left * meter.seconds / meter.count
        shown = f"{seconds / 60:.0f} min" if seconds > 100 else f"{seconds:.0f} s"
        bar.write(f"about {shown} for the other {left} updates, and evaluations besides")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = number

    def _log(self, board: Board | None, bar: Any, meter: Meter) -> None:
        scalars = {**meter.means(), **self.trainer.diagnose()}
        if board is None:
            return
        self._warn(scalars)
        board.scalars(scalars, self.trainer.updates)
        shown = {
            "action": f"{scalars['loss/actions']:.3f}",
            "return": f"{scalars['loss/return']:.2f}",
            "info": f"{scalars['plan/information']:.2f}",
        }
        if self.last_return is not None:
            shown["eval"] = f"{self.last_return:.1f}"
        bar.set_postfix(shown)

    def _warn(self, scalars: dict[str, float]) -> None:
        """Say once what is wrong with the chains; early on they are young whatever one does."""
        share = self.trainer.updates / self.config.updates
        for kind, text in complaints(scalars, finished=share == 1).items():
            if share >= 0.5 and kind not in self._warned:
                self._warned.add(kind)
                self.log(f"warning: at update {self.trainer.updates}, {text}")

    def _evaluate(self, board: Board | None) -> None:
        if self.env_id is None or board is None:
            return
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
        tensors, values = load_training_state(checkpoint)
        if wrong := not_finite(tensors):
            raise ValueError(
                f"{checkpoint}: {wrong} is not finite, the run had diverged: start another one "
                "with a lower --training.learning-rate"
            )
        _, metadata = load_policy_files(checkpoint)
        began, now = (
            metadata.provenance.get("fingerprint", "unknown"),
            self.trainer.dataset.provenance.fingerprint,
        )
        if began != now:
            raise ValueError(
                f"{self.folder} was trained on data {began[:12]}..., these are {now[:12]}...: "
                "resume with the same --source"
            )
        try:
            self.trainer.load_state(tensors, values)
            self.wall_seconds = values["wall_seconds"]
            best, self.best_updates = values["best_return"], values["best_updates"]
        except (KeyError, TypeError, IndexError, RuntimeError, OverflowError) as error:
            raise ValueError(
                f"{checkpoint}: its training state is not that of a run ({one_line(error)}): "
                "resume from another checkpoint, by removing this one"
            ) from error
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
        base = self.config.results or self.folder / "results"
        algorithm, label = self.config.algorithm, self.config.label
        own = self.config.planning.weight
        weights = {result_name(algorithm, own, label): own, result_name(algorithm, 1, label): 1.0}
        rows: dict[str, Evaluation] = {}
        for name, weight in sorted(weights.items(), key=lambda pair: pair[1]):
            last = self._final("last", weight)
            if last.complaint is not None:
                self.log(f"warning: {last.complaint}")
            best = self._final("best", weight) if (self.folder / "best").is_dir() else None
            rows[f"{name} last"] = last
            if best is not None:
                rows[f"{name} best"] = best
            save_result(
                base,
                self.metadata(),
                name,
                last,
                best,
                wall_seconds=self.wall_seconds,
                best_updates=self.best_updates,
            )
        print_evaluations(self.config.task, rows)
        board = Board(self.config, self.folder)
        board.final({name: float(np.mean(e.returns)) for name, e in rows.items()})
        board.close()
        self.log(f"results: {base}\nnext: lpt-eval {self.folder} --plot episodes.png")

    def _final(self, which: Which, weight: float) -> Evaluation:
        policy = LPTPolicy.load(self.folder, which=which, device=str(self.trainer.device))
        settings = self.config.evaluation
        assert self.env_id is not None
        return evaluate(
            policy,
            self.env_id,
            episodes=settings.episodes,
            seed=self.config.evaluation_seed,
            weight=weight,
            deterministic=settings.deterministic,
            parallel=settings.parallel,
            progress=True,
        )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
