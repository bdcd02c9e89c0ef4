"""What is measured side by side: this toolkit, and others through small adapter files.

An adapter is a Python file that defines some of these functions; what is absent stays blank::

    def build(shapes):                  # lpt.bench.problem.Shapes; required; returns any object
    def train_step(built, batch):       # one update on lpt.bench.problem.Trajectories; returns the
                                        # number of transitions whose action likelihood (or other
                                        # action loss) it scored
    def plan(built, n):                 # makes n plans, if the method plans before it acts
    def reset(built, n):                # n new episodes begin; before the first `act` of each run
    def act(built, observations):       # [n, obs] float32 -> actions [n, act], or n integers

Transitions are counted alike for all: those scored in an update, each time they are scored. Steps
only read as history count for nothing. An adapter's batches lie on the device before its clock
starts, this toolkit's own reading of data is inside its clock.
"""

from __future__ import annotations

import importlib.util
import itertools
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch

from lpt.bench.problem import Shapes, Trajectories
from lpt.evaluation.state import PolicyState
from lpt.machine.device import synchronize
from lpt.training.run import Run

FUNCTIONS = ("build", "train_step", "plan", "reset", "act")
"""What an adapter may define; `build` it must."""


class Contender(Protocol):
    """One implementation under measurement."""

    name: str

    def can(self, function: str) -> bool:
        """Whether it has this one of `train_step`, `plan` and `act`."""

    def train_step(self) -> Any:
        """Make one update; returns the number of transitions scored (or a tensor of it)."""

    def plan(self, n: int) -> None:
        """Make `n` plans, to the end."""

    def reset(self, n: int) -> None:
        """Begin `n` episodes; plans for them if it plans."""

    def act(self, observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return actions of `n` episodes, of which those in `starts` `[n]` begin anew."""

    def acting(self) -> AbstractContextManager[None]:
        """Return a context for a whole rollout, in whatever mode it acts in."""

    def environment(self) -> gymnasium.Env:
        """Return a new environment of the preset, as this implementation sees it."""


class Toolkit:
    """This toolkit's own trainer and policy, as `lpt-train` would run them."""

    name = "lpt"

    def __init__(self, run: Run) -> None:
        """Wrap a run; its policy has the averaged weights, which training goes on changing.

        Where chains have batches of their own, the updates are made in which learning waits for
        them: those that are measured are like the many that follow.
        """
        self.run, self.trainer, self.device = run, run.trainer, run.trainer.device
        self.policy = run.policy()
        posterior = run.config.posterior
        for _ in range(posterior.warmup if posterior.trajectories else 0):
            self.trainer.update()
        self._state: PolicyState | None = None

    def can(self, function: str) -> bool:
        """Everything, but a baseline's prompt is no plan."""
        return function != "plan" or self.policy.algorithm.infers_plans

    def train_step(self) -> Any:
        """Make one update, its data included; counts the steps with a weight above 0."""
        return self.trainer.update()["data/transitions"]

    def plan(self, n: int) -> None:
        """Plan as the preset does, for its target."""
        self.policy.plan(n=n)
        synchronize(self.device)

    def reset(self, n: int) -> None:
        """Begin `n` episodes with a plan each."""
        self._state = self.policy.begin(self.policy.plan(n=n).z)

    def act(self, observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the most likely actions; an episode that begins anew keeps its plan.

        An evaluation makes all plans before its first step, so none is made here.
        """
        assert self._state is not None
        if starts.any():
            with torch.inference_mode():
                self._state.cache.reset(torch.from_numpy(starts).to(self.device))
        actions: np.ndarray
        actions, self._state = self.policy.predict(observations, self._state, deterministic=True)
        return actions

    def acting(self) -> AbstractContextManager[None]:
        """Return the policy's evaluation mode, entered once as an evaluation does."""
        return self.policy.evaluation_mode()

    def environment(self) -> gymnasium.Env:
        """Return the environment with the observations the policy was trained on."""
        return self.policy.environment()


class Adapter:
    """Another implementation, behind the functions of a Python file."""

    def __init__(self, path: Path, shapes: Shapes, make_env: Callable[[], gymnasium.Env]) -> None:
        """Load the file, which runs it, and builds.

        Args:
            path: the Python file.
            shapes: of the problem.
            make_env: makes an environment of the preset.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be run, or `build` is absent or raises; says where.
        """
        self.name, self.path, self.shapes, self.environment = path.stem, path, shapes, make_env
        self._module = _load(path)
        if not self.can("build"):
            raise ValueError(
                f"adapter {path} has no function build(shapes): define it, and what can be "
                f"measured of {', '.join(FUNCTIONS[1:])}"
            )
        self._built = self._call("build", shapes)
        self._batches: Iterator[Trajectories] = iter(())

    def try_out(self, batches: list[Trajectories]) -> None:
        """Call every function once, before any long work; keeps the batches for training.

        Raises:
            ValueError: a function raises or returns what it should not; names it.
        """
        self._batches = itertools.cycle(batches)
        if self.can("train_step"):
            self.train_step()
        if self.can("plan"):
            self.plan(1)
        if self.can("act"):
            self.reset(2)
            actions = np.shape(self.act(np.zeros((2, self.shapes.observation_dim), np.float32)))
            expected = (2,) if self.shapes.discrete else (2, self.shapes.action_dim)
            if actions != expected:
                raise ValueError(
                    f"adapter {self.path}: act returned actions of shape {actions} for 2 "
                    f"observations, expected {expected}"
                )

    def can(self, function: str) -> bool:
        """Whether the file defines the function."""
        return callable(getattr(self._module, function, None))

    def train_step(self) -> int:
        """Make one update on the next batch; returns the adapter's own count."""
        count = self._call("train_step", self._built, next(self._batches))
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(
                f"adapter {self.path}: train_step returned {count!r}, expected the number of "
                "transitions it scored (a positive int)"
            )
        return int(count)

    def plan(self, n: int) -> None:
        """Make `n` plans."""
        self._call("plan", self._built, n)
        synchronize(self.shapes.device)

    def reset(self, n: int) -> None:
        """Tell that `n` episodes begin, if the adapter wants to know."""
        if self.can("reset"):
            self._call("reset", self._built, n)

    def act(self, observations: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """Return the adapter's actions as a numpy array."""
        actions = self._call("act", self._built, observations)
        return actions.detach().cpu().numpy() if isinstance(actions, torch.Tensor) else actions

    def acting(self) -> AbstractContextManager[None]:
        """Return nothing special: an adapter knows its own modes."""
        return nullcontext()

    def _call(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._module, function)(*arguments)
        except Exception as error:  # someone else's code: anything may come
            raise ValueError(_blame(self.path, function, error)) from error


def find_adapter(name: str) -> Path:
    """Return the file of `my_adapter.py`, or of a shipped adapter such as decision-transformer.

    Raises:
        FileNotFoundError: there is none; lists the shipped ones.
    """
    folder = Path(__file__).parent / "adapters"
    path = Path(name) if name.endswith(".py") else folder / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        shipped = [p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem != "__init__"]
        raise FileNotFoundError(
            f"--against {name}: no such file; give a Python file (my_adapter.py), or a shipped "
            f"adapter: {', '.join(sorted(shipped))}"
        )
    return path


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lpt_bench_{path.stem}", path.absolute())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # someone else's code: anything may come
        raise ValueError(_blame(path, "importing it", error)) from error
    return module


def _blame(path: Path, function: str, error: Exception) -> str:
    """Which adapter, function and line raised what."""
    own, frames = str(path.absolute()), traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == own]
    where = f" (line {lines[-1]})" if lines else ""
    return f"adapter {path}: {function} raised {type(error).__name__}{where}: {error}"
