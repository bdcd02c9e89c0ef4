"""SAC actors saved in the course of training: their file, and how they act.

A file holds `step_0160000.hidden0.weight` and so on: layers `hidden0`, `hidden1`, `mean` and
`log_std`, weights `[out, in]`, half precision; the number is the step of training after which the
actor was saved. Its metadata name the environment, the length of the uniformly random warm-up and
the actors that play a part in D4RL's recipes (`medium`, `expert`).

h = relu(W0 o + b0), h = relu(W1 h + b1), a = tanh(mean(h) + exp(clip(log_std(h), -20, 2)) eps),
eps ~ N(0, I). Observations are not normalized.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = "SAC actors: relu(hidden0), relu(hidden1), a=tanh(mean + exp(clip(log_std,-20,2))*eps)"
FOLDER = "LPT_BEHAVIOR_DIR"
"""Environment variable that names a folder of actors to take instead of those that are shipped."""

LAYERS = ("hidden0", "hidden1", "mean", "log_std")
"""Layers of an actor, in the order in which they act."""

SHIPPED = Path(__file__).with_name("saved")
"""Folder of the actors that are part of the package."""


@dataclass(frozen=True, eq=False)
class Actor:
    """A stochastic policy."""

    hidden: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Weight `[256, in]` and bias `[256]` of each hidden layer, float32."""
    head: tuple[np.ndarray, np.ndarray]
    """Weight `[2 act_dim, 256]` and bias of mean and log_std, one above the other."""

    @classmethod
    def from_layers(cls, layers: Mapping[str, np.ndarray]) -> Actor:
        """Build an actor from `hidden0.weight`, ..., `log_std.bias`, of any precision."""

        def layer(*names: str) -> tuple[np.ndarray, np.ndarray]:
            weight = np.concatenate([layers[f"{name}.weight"] for name in names])
            bias = np.concatenate([layers[f"{name}.bias"] for name in names])
            return np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)

        return cls((layer("hidden0"), layer("hidden1")), layer("mean", "log_std"))

    def distribution(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation `[act_dim]` before the tanh.

        Args:
            observation: `[observation_dim]` float32.
        """
        values = observation
        for weight, bias in self.hidden:
            values = np.maximum(_product(weight, values) + bias, 0)
        weight, bias = self.head
        values = _product(weight, values) + bias
        mean, log_std = values[: len(values) // 2], values[len(values) // 2 :]
        return mean, np.exp(np.minimum(np.maximum(log_std, -20), 2))  # np.clip is much slower

    def sample(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an action `[act_dim]` float32 in (-1, 1)."""
        mean, std = self.distribution(observation)
        return np.tanh(mean + std * rng.standard_normal(len(mean), np.float32))


@dataclass(frozen=True, kw_only=True)
class ActorFile:
    """What a file of actors says of itself."""

    path: Path
    """The file."""
    env_id: str
    """Environment the actors were trained in, such as `Hopper-v5`."""
    steps: tuple[int, ...]
    """Steps of training after which an actor was saved, rising."""
    warmup: int = 0
    """Uniformly random steps at the beginning of training."""
    medium: int | None = None
    """Step of the actor of D4RL's "medium"; None if there is none."""
    expert: int | None = None
    """Step of the actor of D4RL's "expert"; None if there is none."""
    details: dict[str, str] = field(default_factory=dict)
    """Other metadata, as text."""

    def actor(self, step: int) -> Actor:
        """Read the actor saved at a step of training.

        Raises:
            ValueError: there is none.
        """
        if step not in self.steps:
            raise ValueError(f"{self.path}: no actor of step {step}; there are {self.steps}")
        return Actor.from_layers(self.layers(step))

    def layers(self, step: int) -> dict[str, np.ndarray]:
        """Read the arrays of one actor as they are stored."""
        names = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
        with safe_open(self.path, "numpy") as file:
            return {name: file.get_tensor(f"{_key(step)}.{name}") for name in names}

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def actor_path(robot: str) -> Path:
    """Return the file of a robot's actors: in `LPT_BEHAVIOR_DIR`, else the shipped one."""
    own = os.environ.get(FOLDER) or os.environ.get("LPT_BEHAVIOUR_DIR")  # as it was called
    path = Path(own).expanduser() / f"{robot}.safetensors" if own else None
    return path if path is not None and path.is_file() else SHIPPED / f"{robot}.safetensors"


def read_actors(path: str | os.PathLike[str]) -> ActorFile:
    """Open a file of actors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file of actors. Train some with scripts/train_behavior.py and set "
            f"{FOLDER} to their folder."
        )
    try:
        with safe_open(path, "numpy") as file:
            metadata = dict(file.metadata() or {})
            prefixes = {key.partition(".")[0] for key in file.keys()}
        steps = tuple(sorted(int(prefix.removeprefix("step_")) for prefix in prefixes))
        numbers = {key: _number(metadata.pop(key, "")) for key in ("warmup", "medium", "expert")}
        warmup = numbers["warmup"] or 0
        env_id = metadata.pop("env_id")
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: this is no file of SAC actors ({error!r})") from error
    return ActorFile(
        path=path,
        env_id=env_id,
        steps=steps,
        warmup=warmup,
        medium=numbers["medium"],
        expert=numbers["expert"],
        details=metadata,
    )


def pack_actors(
    env_id: str,
    actors: Mapping[int, Mapping[str, np.ndarray]],
    *,
    warmup: int,
    medium: int | None = None,
    expert: int | None = None,
    details: Mapping[str, object] | None = None,
) -> bytes:
    """Return the content of a file of actors, in half precision.

    Args:
        env_id: environment they were trained in.
        actors: layers of each actor, by step of training.
        warmup: uniformly random steps at the beginning of training.
        medium: see `ActorFile`.
        expert: see `ActorFile`.
        details: further metadata, stored as JSON.
    """
    arrays = {
        f"{_key(step)}.{name}": np.ascontiguousarray(layers[name], np.float16)
        for step, layers in actors.items()
        for name in (f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias"))
    }
    named = {"warmup": warmup, "medium": medium, "expert": expert}
    metadata = {key: json.dumps(value) for key, value in (details or {}).items()}
    metadata |= {key: str(value) for key, value in named.items() if value is not None}
    return save(arrays, metadata | {"env_id": env_id, "format": FORMAT})


def _product(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    # Not `weight @ values`: BLAS rounds differently with another number of threads, and after some
    # hundred steps of a simulation that is another trajectory.
    return np.asarray(np.einsum("oi,i->o", weight, values))


def _key(step: int) -> str:
    return f"step_{step:07d}"


def _number(text: str) -> int | None:
    return int(text) if text else None
