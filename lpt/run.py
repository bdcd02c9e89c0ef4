"""A training run: its folder, log, evaluations, checkpoints, and what it prints at the end.

The folder, ``runs/<task>/<inference>-seed<k>/``, holds:

- ``config.yaml``: the resolved configuration
- ``checkpoints/``: the last two, whole (see :mod:`lpt.checkpoint`)
- ``best/``: the policy of the best periodic evaluation
- ``evaluations.jsonl``: one line for each evaluation, the curve of score against updates
- ``results/<task>/<algorithm>/seed<k>.json``: of the finished run
- ``events.out.tfevents...``: TensorBoard
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from lpt.baselines import fitting_sampler, training_data
from lpt.checkpoint import (
    Which,
    checkpoint_folder,
    latest_checkpoint,
    list_checkpoints,
    load_policy_files,
    load_training_state,
    save_checkpoint,
    save_policy,
)
from lpt.checks import check_spaces, find_device
from lpt.config import Config, from_dict, to_dict
from lpt.data import load
from lpt.distributed import join
from lpt.evaluation import Evaluation, environment_for, evaluate
from lpt.metadata import PolicyMetadata
from lpt.policy import LPTPolicy
from lpt.report import print_evaluations, save_result
from lpt.training import Trainer


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; saved {checkpoint}")
        self.number, self.folder = number, checkpoint.parent.parent


def start(config: Config, log: Callable[[str], None] = print) -> Run:
    """Open a new run, or continue one if ``config.resume`` names it.

    Under torchrun all processes open it, and the first one writes.

    Raises:
        ValueError: if the run folder is taken, or the data are not those the run began with.
        FileNotFoundError: if there is nothing to resume.
    """
    resume = config.resume
    if resume is not None:
        checkpoint = latest_checkpoint(resume)
        config = _resumed(config, load_policy_files(checkpoint)[1])
    device = find_device(config.device)
    ranks = join(device)
    if resume is None and ranks.first:
        _check_free(config.run)
    torch.set_num_threads(config.training.threads)
    log = log if ranks.first else _silent
    if not ranks.first:
        ranks.wait()  # the first process may have to make or download the data
    discrete = config.model.likelihood == "categorical"
    dataset = load(config.env, config.dataset, config.data, discrete=discrete, log=log)
    dataset = training_data(config.algorithm, dataset)
    if config.algorithm == "bc-10":
        log(f"bc-10: the {len(dataset)} trajectories of the highest returns")
        config = replace(config, sampler=fitting_sampler(config.sampler, dataset))
    if ranks.first:
        ranks.wait()
    ranks.agree("data", dataset.provenance.fingerprint)
    trainer = Trainer(config, dataset, device, ranks)
    run = Run(config, trainer, log)
    if resume is not None:
        run.restore(checkpoint)
    ranks.agree("checkpoints, of update", str(trainer.step))
    return run


def _check_free(folder: Path) -> None:
    """Raise ValueError if a run lies there already."""
    if folder.exists() and any(folder.iterdir()):
        mend = (
            f"continue it with --resume {folder}"
            if list_checkpoints(folder)
            else "without a checkpoint: remove it"
        )
        raise ValueError(f"{folder} exists, {mend}, or write elsewhere with --out FOLDER")


def _resumed(asked: Config, metadata: PolicyMetadata) -> Config:
    """The run's own configuration; where data, device and results are may have been given anew."""
    own = from_dict(metadata.config)
    return replace(
        own,
        out=asked.resume,
        device=own.device if asked.device == "auto" else asked.device,
        data=own.data if asked.data == "auto" else asked.data,
        results=asked.results or own.results,
    )


class Run:
    """One training run in its folder; :meth:`train` to the end, :meth:`finish` with the results."""

    def __init__(self, config: Config, trainer: Trainer, log: Callable[[str], None]) -> None:
        self.config, self.trainer, self.log = config, trainer, log
        self.folder, self.ranks = config.run, trainer.ranks
        self._check_evaluation()
        self.wall_seconds, self.best_return = 0.0, -np.inf
        self.last_return: float | None = None
        self.best_step: int | None = None
        if self.ranks.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
        self._stop: int | None = None

    @property
    def env_id(self) -> str | None:
        """Where policies are evaluated: the configured environment, or the data's own."""
        return self.config.env_id or self.trainer.dataset.provenance.env_id

    def metadata(self) -> PolicyMetadata:
        """What the policy needs besides its weights."""
        data = self.trainer.dataset
        quantiles = self.trainer.sampler.return_quantiles((0, 0.1, 0.5, 0.9, 0.99, 1))
        return PolicyMetadata(
            task=self.config.env,
            algorithm=self.config.algorithm,
            env_id=self.env_id,
            step=self.trainer.step,
            seed=self.config.seed,
            spaces=self.trainer.model.spaces,
            observation_mean=tuple(map(float, data.observation_mean)),
            observation_std=tuple(map(float, data.observation_std)),
            return_mean=data.return_mean,
            return_std=data.return_std,
            return_quantiles=quantiles,
            provenance=data.provenance.to_dict(),
            config=to_dict(self.config),
        )

    def policy(self) -> LPTPolicy:
        """The present policy (averaged weights)."""
        return LPTPolicy(
            self.trainer.policy_model,
            self.metadata(),
            planning=self.config.planning,
            target=self.config.evaluation.target,
            device=str(self.trainer.device),
            seed=self.config.evaluation.seed,
        )

    def _check_evaluation(self) -> None:
        """Raise ValueError for what the first evaluation would refuse, before anything begins."""
        policy = self.policy()
        if self.env_id is not None:
            environment = environment_for(policy, self.env_id)
            try:
                check_spaces(environment, policy.spaces, self.config.env, policy.action_bounds)
            finally:
                environment.close()

    def train(self) -> None:
        """Update until ``config.steps``, logging, evaluating and saving on the way.

        Raises:
            Interrupted: on SIGTERM or SIGINT, after saving.
            ProcessLost: if another process of the run has gone.
        """
        settings = self.config.training
        writer = self._open_writer() if self.ranks.first else None
        saved = time.monotonic()
        bar = tqdm(
            total=self.config.steps,
            initial=self.trainer.step,
            desc=self.config.env,
            disable=not self.ranks.first,
        )
        previous = [(s, signal.signal(s, self._on_signal)) for s in (signal.SIGTERM, signal.SIGINT)]
        meter = _Meter()
        try:
            while self.trainer.step < self.config.steps:
                began = time.monotonic()
                meter.add(self.trainer.update())
                bar.update()
                step = self.trainer.step
                meter.seconds += time.monotonic() - began
                if step % settings.log_every == 0 or step == self.config.steps:
                    self._log(writer, bar, meter)
                if settings.evaluate_every and step % settings.evaluate_every == 0:
                    if self.ranks.count > 1:  # torchrun may kill who is stopped in an evaluation
                        self.save()
                    self._evaluate(writer)
                self.wall_seconds += time.monotonic() - began
                minutes = (time.monotonic() - saved) / 60
                stop, due = self.ranks.any(
                    self._stop is not None, minutes >= settings.checkpoint_minutes
                )
                if stop or due:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    number = self._stop or signal.SIGTERM
                    raise Interrupted(number, checkpoint_folder(self.folder, step))
            self.save()
        finally:
            bar.close()
            if writer is not None:
                writer.close()
            for number, handler in previous:
                signal.signal(number, handler)

    def _open_writer(self) -> SummaryWriter:
        writer = SummaryWriter(str(self.folder), purge_step=self.trainer.step or None)
        if self.trainer.step == 0:
            text = yaml.safe_dump(to_dict(self.config), sort_keys=False)
            writer.add_text("config", f"```yaml\n{text}```")
        return writer

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = number

    def _log(self, writer: SummaryWriter | None, bar: Any, meter: _Meter) -> None:
        scalars = {**meter.means(), **self.trainer.diagnose()}
        if not np.isfinite(scalars["loss/total"]):
            raise ValueError(
                f"training diverged before update {self.trainer.step} (loss "
                f"{scalars['loss/total']}): lower training.learning_rate; the last checkpoint in "
                f"{self.folder} is from before"
            )
        if writer is None:
            return
        for name, value in scalars.items():
            writer.add_scalar(name, value, self.trainer.step)
        shown = {
            "action": f"{scalars['loss/actions']:.3f}",
            "return": f"{scalars['loss/return']:.2f}",
            "info": f"{scalars['plan/information']:.2f}",
        }
        if self.last_return is not None:
            shown["eval"] = f"{self.last_return:.1f}"
        bar.set_postfix(shown)

    def _evaluate(self, writer: SummaryWriter | None) -> None:
        if self.env_id is None or writer is None:
            return
        evaluation = evaluate(
            self.policy(),
            self.env_id,
            episodes=self.config.training.evaluate_episodes,
            seed=self.config.evaluation.seed + 100_000,  # not the final evaluation's episodes
            deterministic=self.config.evaluation.deterministic,
            parallel=self.config.evaluation.parallel,
        )
        self.last_return = float(np.mean(evaluation.returns))
        record = {
            "step": self.trainer.step,
            "wall_seconds": self.wall_seconds,
            "target": evaluation.target,
            "weight": evaluation.weight,
            "score": evaluation.score,
            "returns": [float(value) for value in evaluation.returns],
        }
        with open(self.folder / "evaluations.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        writer.add_scalar("evaluation/return", self.last_return, self.trainer.step)
        if evaluation.score is not None:
            writer.add_scalar("evaluation/score", evaluation.score, self.trainer.step)
        if self.last_return > self.best_return:
            self.best_return = self.last_return
            weights = self.trainer.policy_model.state_dict()
            self.best_step = self.trainer.step
            save_policy(self.folder / "best", weights, self.metadata())

    def save(self) -> Path:
        """Write a checkpoint that resumes exactly here; all processes must save together."""
        tensors, values = self.trainer.state()
        values |= {
            "wall_seconds": self.wall_seconds,
            "best_return": _finite(self.best_return),
            "best_step": self.best_step,
        }
        weights = self.trainer.policy_model.state_dict()
        metadata = self.metadata()
        if self.ranks.first:
            save_checkpoint(self.folder, metadata.step, weights, metadata, tensors, values)
        self.ranks.wait()
        return checkpoint_folder(self.folder, metadata.step)

    def restore(self, checkpoint: Path) -> None:
        """Continue from a checkpoint of this run.

        Raises:
            ValueError: if the run began with other data.
        """
        tensors, values = load_training_state(checkpoint)
        _, metadata = load_policy_files(checkpoint)
        began, now = metadata.provenance["fingerprint"], self.trainer.dataset.provenance.fingerprint
        if began != now:
            raise ValueError(
                f"{self.folder} was trained on data {began[:12]}..., these are {now[:12]}...: "
                "resume with the same --data"
            )
        self.trainer.load_state(tensors, values)
        self.wall_seconds = values["wall_seconds"]
        best, self.best_step = values["best_return"], values["best_step"]
        self.best_return = -np.inf if best is None else best
        if self.ranks.first:
            self._drop_later_evaluations()
        self.log(f"resumed {self.folder} at update {self.trainer.step}")

    def _drop_later_evaluations(self) -> None:
        path = self.folder / "evaluations.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            whole = [line for line in lines if line.endswith("}")]  # a kill may halve the last
            kept = [line for line in whole if json.loads(line)["step"] <= self.trainer.step]
            _write(path, "".join(line + "\n" for line in kept))

    def finish(self) -> None:
        """Evaluate the last and the best checkpoint, as LPT and as LPT-EI; print and store them."""
        if self.ranks.first:
            self._evaluate_finally()
        self.ranks.wait()  # all leave together

    def _evaluate_finally(self) -> None:
        if self.env_id is None:
            self.log("no environment to evaluate in: pass --env-id to lpt-eval")
            return
        base = self.config.results or self.folder / "results"
        end = f"-{self.config.label}" if self.config.label else ""
        name = self.config.algorithm
        algorithms = {f"{name}{end}": 1.0}
        if name == "lpt" and self.config.planning.weight > 1:
            algorithms[f"lpt-ei{end}"] = self.config.planning.weight
        rows: dict[str, Evaluation] = {}
        for algorithm, weight in algorithms.items():
            last = self._final("last", weight)
            best = self._final("best", weight) if (self.folder / "best").is_dir() else None
            rows[f"{algorithm} last"] = last
            if best is not None:
                rows[f"{algorithm} best"] = best
            save_result(
                base,
                self.metadata(),
                algorithm,
                last,
                best,
                wall_seconds=self.wall_seconds,
                best_step=self.best_step,
            )
        print_evaluations(self.config.env, rows)

    def _final(self, which: Which, weight: float) -> Evaluation:
        policy = LPTPolicy.load(self.folder, which=which, device=str(self.trainer.device))
        settings = self.config.evaluation
        assert self.env_id is not None
        return evaluate(
            policy,
            self.env_id,
            episodes=settings.episodes,
            seed=settings.seed,
            weight=weight,
            deterministic=settings.deterministic,
            parallel=settings.parallel,
        )


class _Meter:
    """Means of an interval's scalars, read from the device only when they are shown."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.count, self.seconds = 0, 0.0

    def add(self, scalars: dict[str, Any]) -> None:
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def means(self) -> dict[str, float]:
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        means["speed/transitions_per_second"] = (
            means.pop("data/transitions") * self.count / max(self.seconds, 1e-9)
        )
        self.sums, self.count, self.seconds = {}, 0, 0.0
        return means


def _silent(text: str) -> None:
    """Say nothing: the first process of a run speaks for all."""


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
