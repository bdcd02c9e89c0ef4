"""Trains SAC and keeps its actors, from which `lpt.data.behaviour` regenerates D4RL's data.

python scripts/train_behaviour.py hopper --out actors                     # medium, medium-replay
python scripts/train_behaviour.py hopper --out actors --expert --steps 1000000
LPT_BEHAVIOUR_DIR=actors lpt-train --env hopper-medium-expert --data regenerated

The shipped actors were made this way with sbx, the JAX twin of stable-baselines3 (`pip install
sbx-rl`, --backend sbx), which is several times faster on a CPU. The file is written anew whenever
an actor is added, so that an interrupted run leaves what it has.
"""

from __future__ import annotations

import csv
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

from lpt.data.behaviour import MEDIUM_RETURN, actor_return
from lpt.data.files import atomic_write
from lpt.data.tasks import TASKS
from lpt.simulation.actors import read_actors, write_actors
from lpt.simulation.envs import make_env

ENVIRONMENTS = {
    "halfcheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "walker2d": "Walker2d-v5",
}


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train SAC and keep its actors.

    Attributes:
        robot: halfcheetah, hopper or walker2d.
        out: folder for `<robot>.safetensors` and `<robot>.csv`.
        steps: environment steps; D4RL trained its experts for 1 to 3 million.
        save_every: steps between saved actors.
        warmup: uniformly random steps at the beginning.
        seed: of the environment and of SAC.
        expert: name the last actor the expert.
        backend: sb3 (stable-baselines3) or sbx.
        verbose: print stable-baselines3's own log.
    """

    robot: tyro.conf.Positional[Literal["halfcheetah", "hopper", "walker2d"]]
    out: Path
    steps: int = 400_000
    save_every: int = 10_000
    warmup: int = 5_000
    seed: int = 0
    expert: bool = False
    backend: Literal["sb3", "sbx"] = "sb3"
    verbose: bool = False


class Keep(BaseCallback):
    """Saves the actor every so many steps."""

    def __init__(self, config: Train) -> None:
        super().__init__()
        self.config = config
        self.path = config.out / f"{config.robot}.safetensors"
        self.actors: dict[int, dict[str, np.ndarray]] = {}
        self.rows: list[dict[str, float]] = []
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        if self.num_timesteps % self.config.save_every == 0:
            self._save()
        return True

    def _save(self) -> None:
        step, read = self.num_timesteps, {"sb3": torch_layers, "sbx": jax_layers}
        self.actors[step] = read[self.config.backend](self.model)
        env_id = ENVIRONMENTS[self.config.robot]
        write_actors(self.path, env_id, self.actors, warmup=self.config.warmup)
        training = float(np.mean(self.returns)) if self.returns else float("nan")
        self.returns.clear()
        sampled = actor_return(
            read_actors(self.path), step, data_env(self.config.robot), steps=3000
        )
        self.rows.append(
            {"step": step, "training_return": training, "sampled_return": sampled.mean}
        )
        print(f"{step}: training return {training:.1f}, sampled {sampled.mean:.1f}", flush=True)
        with (
            atomic_write(self.path.with_suffix(".csv"), overwrite=True) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(
                {key: round(value, 1) for key, value in row.items()} for row in self.rows
            )


def main(config: Train) -> None:
    """Trains, then names the medium actor and, if asked, the expert."""
    env = make_env(ENVIRONMENTS[config.robot])
    if not isinstance(env.action_space, gym.spaces.Box) or not (
        (env.action_space.low == -1).all() and (env.action_space.high == 1).all()
    ):
        raise ValueError(f"{env}: expected actions from -1 to 1, as the file's format has them")
    model = algorithm(config.backend)(
        "MlpPolicy",
        Monitor(env),
        learning_rate=3e-4,
        batch_size=256,
        buffer_size=config.steps,
        learning_starts=config.warmup,
        policy_kwargs={"net_arch": [256, 256]},
        seed=config.seed,
        verbose=int(config.verbose),
    )
    keep = Keep(config)
    model.learn(config.steps, callback=keep)
    if not keep.actors:
        raise ValueError(f"no actor was saved: --steps {config.steps} < {config.save_every}")
    name(config, keep)


def name(config: Train, keep: Keep) -> None:
    """Writes which actor is the medium one, by the returns measured on the way."""
    target, env_id = MEDIUM_RETURN[config.robot], data_env(config.robot)
    file = read_actors(keep.path)
    near = sorted(keep.rows, key=lambda row: abs(row["sampled_return"] - target))[:3]
    measured = {int(row["step"]): actor_return(file, int(row["step"]), env_id).mean for row in near}
    medium = min(measured, key=lambda step: abs(measured[step] - target))
    expert = file.steps[-1] if config.expert else None
    kept = {s: layers for s, layers in keep.actors.items() if s <= medium or s == expert}
    write_actors(
        keep.path, file.env_id, kept, warmup=config.warmup, medium=medium, expert=expert,
        details={
            "medium_return": round(measured[medium], 1),
            "backend": config.backend,
            "seed": config.seed,
        },
    )  # fmt: skip
    print(f"medium: step {medium}, return {measured[medium]:.0f} (D4RL's: {target:.0f})")
    print(f"wrote {keep.path}" + (f", expert: step {expert}" if expert else ""))


def data_env(robot: str) -> str:
    """Returns the environment in which the data are recorded."""
    return TASKS[f"{robot}-medium"].env_id


def algorithm(backend: str) -> Any:
    """Returns the SAC class of a backend.

    Raises:
        SystemExit: the backend is not installed.
    """
    package = {"sb3": "stable_baselines3", "sbx": "sbx"}[backend]
    try:
        return importlib.import_module(package).SAC
    except ImportError as error:
        raise SystemExit(f"--backend {backend}: {error}; pip install sbx-rl, or use sb3") from error


def torch_layers(model: Any) -> dict[str, np.ndarray]:
    """Reads the layers of stable-baselines3's actor."""
    actor = model.actor
    modules = {
        "hidden0": actor.latent_pi[0],
        "hidden1": actor.latent_pi[2],
        "mean": actor.mu,
        "log_std": actor.log_std,
    }
    return {
        f"{layer}.{kind}": getattr(module, kind).detach().cpu().numpy().copy()
        for layer, module in modules.items()
        for kind in ("weight", "bias")
    }


def jax_layers(model: Any) -> dict[str, np.ndarray]:
    """Reads the layers of sbx's actor: flax names them in order and stores `[in, out]`."""
    found = model.policy.actor_state.params["params"]
    layers = {}
    for number, layer in enumerate(("hidden0", "hidden1", "mean", "log_std")):
        layers[f"{layer}.weight"] = np.asarray(found[f"Dense_{number}"]["kernel"]).T
        layers[f"{layer}.bias"] = np.asarray(found[f"Dense_{number}"]["bias"])
    return layers


if __name__ == "__main__":
    main(tyro.cli(Train, description=__doc__))
