"""`Config`: everything that decides a run, as one frozen tree of typed fields."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args

import tyro

from lpt.config.checks import SettingError, check_choice
from lpt.config.data import DatasetConfig, SamplerConfig
from lpt.config.inference import Engine, PlanningConfig, PosteriorConfig
from lpt.config.model import Algorithm, ModelConfig, ProposalConfig
from lpt.config.training import Device, EvaluationConfig, Track, TrainingConfig

OWN_RESETS = 10_000
"""Resets between the evaluations of one training seed and the next."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run; stored with it."""

    task: Annotated[str, tyro.conf.arg(aliases=["--env"])]
    """Name of a data set with its environment, such as maze2d-umaze; run folder, results and tables
    carry it."""
    preset: str = ""
    """Where its settings begin: maze2d, mujoco, connect-four, robotics, plain, paper (the paper's
    own settings), or another task's name; unset: the task's own or, for one's own task, plain."""
    env_id: str | None = None
    """Gymnasium id to evaluate in; unset: the one the data name."""
    source: str = "auto"
    """Where data come from: auto, d4rl, minari, regenerated, shipped, a Minari id, or a file."""
    algorithm: Algorithm = "lpt"
    """lpt, or a baseline: bc (behavior cloning), bc-10 (of the best tenth), dt-final (prompted by
    the return itself), dt (by the return-to-go at every step), goal (by where trajectories end)."""
    engine: Engine = "amortized"
    """How plans are inferred while learning (lpt only)."""
    seed: int = 0
    """Seed of everything random in the run."""
    updates: int = 10_000
    """Updates of the parameters."""
    out: Path | None = None
    """Run folder; unset: runs/<task>/<engine, or baseline>-seed<seed>."""
    results: Path | None = None
    """Folder for <task>/<algorithm>/seed<seed>.json; unset: results/ in the run folder."""
    label: str = ""
    """Ends the algorithm's name in results, as in lpt-recorded: keeps variants apart."""
    init_from: Path | None = None
    """Run or checkpoint whose weights the run begins with; unset: random ones."""
    track: Track = "tensorboard"
    """Where scalars and images go: TensorBoard files in the run folder, or wandb besides (pip
    install 'lpt-toolkit[wandb]')."""
    device: Device = "auto"
    """auto takes a GPU if there is one."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    proposal: ProposalConfig = field(default_factory=ProposalConfig)
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        """Raise ValueError for unknown names, no updates, or names that are no folder's."""
        kinds = {"algorithm": Algorithm, "engine": Engine, "device": Device, "track": Track}
        for name, kind in kinds.items():
            check_choice(name, getattr(self, name), get_args(kind))
        odd = ".." in self.task or self.task.startswith("/") or not self.task.isprintable()
        if odd or len(self.task) > 200:
            raise SettingError(
                f"--task {self.task[:200]!r} becomes a folder's name: leave out '..' and '/', and "
                "what cannot be printed"
            )
        if self.updates < 1:
            raise SettingError(f"--updates {self.updates}: a run needs at least one update")
        if not re.fullmatch(r"[\w.-]*", self.label) or ".." in self.label:
            raise SettingError(
                f"--label {self.label[:200]!r} becomes part of a folder's name: use letters, "
                "digits, '-', '_' and '.'"
            )
        model = self.model
        if self.dataset.arrival_steps and (model.context > 1 or model.inputs != "states"):
            raise SettingError(
                f"dataset.arrival_steps={self.dataset.arrival_steps} makes steps without "
                f"history, but model.context is {model.context} and model.inputs {model.inputs}: "
                "set them to 1 and states, or arrival_steps to 0"
            )
        remembers = self.algorithm != "lpt" or self.model.remembered_plans > 0
        if self.planning.method == "aggregated" and not remembers:
            raise SettingError(
                "--planning.method aggregated chooses among plans inferred in learning: keep some, "
                "as in --model.remembered-plans 1024"
            )

    @property
    def evaluation_seed(self) -> int:
        """Seed of the run's evaluations: training seeds are evaluated on resets of their own."""
        return self.evaluation.seed + OWN_RESETS * self.seed

    @property
    def periodic_evaluation_seed(self) -> int:
        """Seed of evaluations while learning: other resets, within this training seed's own."""
        return self.evaluation_seed + OWN_RESETS // 2

    @property
    def evidence_ends(self) -> bool:
        """Whether chains, too, see of a trajectory only what the proposal does, its end."""
        return self.posterior.trajectories > 0 and self.proposal.view == "end"

    @property
    def run(self) -> Path:
        """The run folder."""
        kind = self.engine if self.algorithm == "lpt" else self.algorithm
        return self.out or Path("runs") / self.task / f"{kind}-seed{self.seed}"
