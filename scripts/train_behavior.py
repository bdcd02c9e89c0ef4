"""Train SAC and keep its actors, from which `lpt_envs.mujoco.recipes` regenerates D4RL's data.

python scripts/train_behavior.py hopper --out actors                     # medium, medium-replay
python scripts/train_behavior.py hopper --out actors --expert --steps 1000000
LPT_BEHAVIOR_DIR=actors lpt-train --env hopper-medium-expert --source regenerated

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

from lpt.data.tasks import TASKS
from lpt.machine.files import atomic_write
from lpt_envs.making import make_env
from lpt_envs.mujoco.actors import pack_actors, read_actors
from lpt_envs.mujoco.recipes import MEDIUM_RETURN, actor_return

ENVIRONMENTS = {
    "halfcheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "walker2d": "Walker2d-v5",
}


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train SAC and keep its actors."""

    robot: tyro.conf.Positional[Literal["halfcheetah", "hopper", "walker2d"]]
    """Whose actors."""
    out: Path
    """Folder for `<robot>.safetensors` and `<robot>.csv`."""
    steps: int = 400_000
    """Environment steps; D4RL trained its experts for 1 to 3 million."""
    save_every: int = 10_000
    """Steps between saved actors."""
    warmup: int = 5_000
    """Uniformly random steps at the beginning."""
    seed: int = 0
    """Of the environment and of SAC."""
    expert: bool = False
    """Name the last actor the expert."""
    backend: Literal["sb3", "sbx"] = "sb3"
    """What trains: sb3 (stable-baselines3) or sbx."""
    verbose: bool = False
    """Print stable-baselines3's own log."""


class KeepActors(BaseCallback):
    """Keeps the actor every so many steps, and the returns on the way."""

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

    def write(self, actors: bytes) -> None:
        """Write the file of actors anew."""
        with atomic_write(self.path, overwrite=True) as temporary:
            temporary.write_bytes(actors)

    def _save(self) -> None:
        step, read = self.num_timesteps, {"sb3": torch_layers, "sbx": jax_layers}
        self.actors[step] = read[self.config.backend](self.model)
        env_id = ENVIRONMENTS[self.config.robot]
        self.write(pack_actors(env_id, self.actors, warmup=self.config.warmup))
        training = float(np.mean(self.returns)) if self.returns else float("nan")
        self.returns.clear()
        file, env_id = read_actors(self.path), data_env(self.config.robot)
        sampled = actor_return(file, step, env_id, steps=3000).mean
        self.rows.append({"step": step, "training_return": training, "sampled_return": sampled})
        print(f"{step}: training return {training:.1f}, sampled {sampled:.1f}", flush=True)
        self._write_returns()

    def _write_returns(self) -> None:
        with (
            atomic_write(self.path.with_suffix(".csv"), overwrite=True) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(
                {key: round(value, 1) for key, value in row.items()} for row in self.rows
            )


def main(config: Train) -> None:
    """Train, then name the medium actor and, if asked, the expert."""
    env = make_env(ENVIRONMENTS[config.robot])
    if not isinstance(env.action_space, gym.spaces.Box) or not (
        (env.action_space.low == -1).all() and (env.action_space.high == 1).all()
    ):
        raise ValueError(f"{env}: expected actions from -1 to 1, as the file's format has them")
    model = sac_class(config.backend)(
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
    keep = KeepActors(config)
    model.learn(config.steps, callback=keep)
    if not keep.actors:
        raise ValueError(f"no actor was saved: --steps {config.steps} < {config.save_every}")
    name_actors(config, keep)


def name_actors(config: Train, keep: KeepActors) -> None:
    """Write which actor is the medium one, by the returns measured on the way."""
    target, env_id = MEDIUM_RETURN[config.robot], data_env(config.robot)
    file = read_actors(keep.path)
    near = sorted(keep.rows, key=lambda row: abs(row["sampled_return"] - target))[:3]
    measured = {int(row["step"]): actor_return(file, int(row["step"]), env_id).mean for row in near}
    medium = min(measured, key=lambda step: abs(measured[step] - target))
    expert = file.steps[-1] if config.expert else None
    kept = {s: layers for s, layers in keep.actors.items() if s <= medium or s == expert}
    details = {
        "medium_return": round(measured[medium], 1),
        "backend": config.backend,
        "seed": config.seed,
    }
    packed = pack_actors(
        file.env_id, kept, warmup=config.warmup, medium=medium, expert=expert, details=details
    )
    keep.write(packed)
    print(f"medium: step {medium}, return {measured[medium]:.0f} (D4RL's: {target:.0f})")
    print(f"wrote {keep.path}" + (f", expert: step {expert}" if expert else ""))


def data_env(robot: str) -> str:
    """Return the environment in which the data are recorded."""
    return TASKS[f"{robot}-medium"].env_id


def sac_class(backend: str) -> Any:
    """Return the SAC class of a backend.

    Raises:
        SystemExit: the backend is not installed.
    """
    package = {"sb3": "stable_baselines3", "sbx": "sbx"}[backend]
    try:
        return importlib.import_module(package).SAC
    except ImportError as error:
        raise SystemExit(f"--backend {backend}: {error}; pip install sbx-rl, or use sb3") from error


def torch_layers(model: Any) -> dict[str, np.ndarray]:
    """Read the layers of stable-baselines3's actor."""
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
    """Read the layers of sbx's actor: flax names them in order and stores `[in, out]`."""
    found = model.policy.actor_state.params["params"]
    layers = {}
    for number, layer in enumerate(("hidden0", "hidden1", "mean", "log_std")):
        layers[f"{layer}.weight"] = np.asarray(found[f"Dense_{number}"]["kernel"]).T
        layers[f"{layer}.bias"] = np.asarray(found[f"Dense_{number}"]["bias"])
    return layers


if __name__ == "__main__":
    main(tyro.cli(Train, description=__doc__))
