"""One run's whole configuration, its presets, and its way through YAML.

Each component owns its group (a frozen dataclass beside the code it configures); :class:`Config`
only puts them together. Presets lie in ``configs/``, one file for a task family; a task adds what
differs. A preset is turned into command-line flags and read by the same parser as the user's own,
so types and unknown keys are checked alike, and ``1e-4`` is a number.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml

from lpt.acceleration import Precision
from lpt.baselines import Algorithm
from lpt.data import DatasetConfig, SamplerConfig
from lpt.evaluation import EvaluationConfig
from lpt.model import ModelConfig
from lpt.planning import PlanningConfig
from lpt.posterior import Engine, PosteriorConfig
from lpt.proposal import ProposalConfig


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimisation, logging and checkpoints."""

    learning_rate: float = 1e-3
    """AdamW's peak learning rate."""
    weight_decay: float = 1e-4
    """AdamW's weight decay, on matrices only."""
    warmup: int = 100
    """Updates of linear warm-up; afterwards the rate falls linearly to zero."""
    gradient_clip: float = 1.0
    """Largest norm of the parameters' gradient (loss in nats a step)."""
    observation_noise: float = 0.0
    """Standard deviation of noise added to standardised observations while learning."""
    history_dropout: float = 0.0
    """Share of the segments whose steps are scored without history, so that plans are needed."""
    history_dropout_updates: int = 0
    """Updates after which every segment is scored with its history."""
    average: float = 0.998
    """Decay of the averaged weights that the policy uses; 0 uses the raw weights."""
    log_every: int = 100
    """Updates between TensorBoard points."""
    evaluate_every: int = 2000
    """Updates between evaluations; 0 evaluates only at the end."""
    evaluate_episodes: int = 50
    """Episodes of these evaluations (the end's are evaluation.episodes)."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    threads: int = 1
    """CPU threads of the run; resume is bit-identical for the same number."""
    precision: Precision = "float32"
    """Of the matrix products of generator and proposal; everything else stays float32."""
    compile: bool = False
    """Compile what learning scores actions with (torch.compile; needs a C++ compiler)."""

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot train."""
        for name in ("learning_rate", "gradient_clip", "log_every", "threads", "evaluate_episodes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"training.{name}={getattr(self, name)} must be positive")
        for name in ("average", "history_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"training.{name}={getattr(self, name)} must lie in [0, 1]")

    def check_segments(self, segments: int) -> None:
        """Raise ValueError for what needs segments where whole trajectories are read (0)."""
        if segments:
            return
        if self.history_dropout:
            raise ValueError(
                f"training.history_dropout={self.history_dropout} is a share of segments, but "
                "whole trajectories are read: set sampler.segments, or history_dropout to 0"
            )
        if self.compile:
            raise ValueError(
                "training.compile needs batches of one shape, but whole trajectories vary in "
                "length: set sampler.segments, or leave training.compile out"
            )


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run; stored with it."""

    env: str
    """Task with a preset (see configs/), such as maze2d-umaze."""
    env_id: str | None = None
    """Gymnasium id to evaluate in; unset: the one the data name."""
    data: str = "auto"
    """Where data come from: auto, d4rl, minari, regenerated, shipped, a Minari id, or a file."""
    algorithm: Algorithm = "lpt"
    """lpt, or a baseline: bc (behaviour cloning), bc-10 (of the best tenth), dt-final (prompted by
    the return itself), dt (by the return-to-go at every step)."""
    inference: Engine = "amortised"
    """Posterior engine used in learning (lpt only)."""
    seed: int = 0
    """Seed of everything random in the run."""
    steps: Annotated[int, tyro.conf.arg(aliases=["--updates"])] = 10_000
    """Parameter updates."""
    out: Path | None = None
    """Run folder; unset: runs/<env>/<inference, or baseline>-seed<seed>."""
    results: Path | None = None
    """Folder for <task>/<algorithm>/seed<seed>.json; unset: results/ in the run folder."""
    label: str = ""
    """Ends the algorithm's name in results, as in lpt-recorded: keeps variants apart."""
    resume: Path | None = None
    """Run folder to continue from its last checkpoint, with its own settings."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
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
        """Raise ValueError for a run without updates or a label that is no part of a file name."""
        if ".." in self.env or self.env.startswith("/"):
            raise ValueError(f"--env {self.env!r} becomes a folder's name: leave out '..' and '/'")
        if self.steps < 1:
            raise ValueError(f"--steps {self.steps}: a run needs at least one update")
        if not re.fullmatch(r"[\w.-]*", self.label) or ".." in self.label:
            raise ValueError(
                f"--label {self.label!r} becomes part of a folder's name: use letters, digits, "
                "'-', '_' and '.'"
            )
        remembers = self.algorithm != "lpt" or self.model.remembered_plans > 0
        if self.planning.method == "aggregated" and not remembers:
            raise ValueError(
                "--planning.method aggregated chooses among plans inferred in learning: keep some, "
                "as in --model.remembered-plans 1024"
            )

    @property
    def run(self) -> Path:
        """The run folder."""
        kind = self.inference if self.algorithm == "lpt" else self.algorithm
        return self.out or Path("runs") / self.env / f"{kind}-seed{self.seed}"


def preset_folder() -> Path:
    """Where the presets lie: beside the installed package, or in the source tree."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "configs"


def presets() -> dict[str, dict[str, Any]]:
    """Every task's preset, as nested dictionaries (family defaults with the task's own on top)."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(preset_folder().glob("*.yaml")):
        family = yaml.safe_load(path.read_text())
        for task, own in family["tasks"].items():
            found[task] = _merge(family["defaults"], own or {})
    return found


def preset(env: str) -> Config:
    """The configuration of a task.

    Raises:
        ValueError: if no preset has this name; the known ones are listed.
    """
    known = presets()
    if env not in known:
        raise ValueError(f"no preset for --env {env}: choose one of {', '.join(sorted(known))}")
    return from_dict({"env": env, **known[env]})


def to_dict(config: Config) -> dict[str, Any]:
    """Plain nested dictionary of JSON and YAML types; inverse of :func:`from_dict`."""
    return _plain(dataclasses.asdict(config))


def from_dict(values: dict[str, Any]) -> Config:
    """Configuration from nested plain values, through the command line's own parser.

    Raises:
        ValueError: for unknown keys or values of a wrong type.
    """
    try:
        return tyro.cli(
            Config,
            args=_flags(values),
            config=(tyro.conf.FlagConversionOff,),
            console_outputs=False,
        )
    except SystemExit as error:
        raise ValueError(
            f"not a valid configuration: {_complaint(values)} (see lpt-train --help for the fields)"
        ) from error


def _complaint(values: dict[str, Any]) -> str:
    """The first top-level key that the parser refuses, for the error message."""
    known = {f.name for f in dataclasses.fields(Config)}
    unknown = sorted(set(values) - known)
    return f"unknown keys {unknown}" if unknown else f"a field or value in {values} is not known"


def _flags(values: dict[str, Any], prefix: str = "") -> list[str]:
    """``{"model": {"width": 64}}`` as ``["--model.width", "64"]``."""
    flags: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            flags += _flags(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            flags += [f"--{name}", *map(str, value)]
        else:
            flags += [f"--{name}", str(value)]
    return flags


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if nested else value
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
