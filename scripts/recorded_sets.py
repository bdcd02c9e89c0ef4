"""Four data sets of agents of mixed quality, to show plain settings on.

::

    pip install stable-baselines3 "gymnasium[mujoco,box2d]"
    python scripts/recorded_sets.py recorded --statistics results/data/recorded.json

One agent of stable-baselines3 learns in each environment and is saved at several stages; these and
random play are recorded in turns, as `lpt-data record` does, 300 episodes for each environment.
Some minutes of one core each. The same versions on the same kind of processor give the same data.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from lpt.cli.data_record import Record, run_record
from lpt.data import TrajectoryDataset, read_file
from lpt.machine.files import atomic_write, write_json
from lpt.machine.source import source_commit

AGENT_SEED = 0
"""Of every agent's learning; episodes are recorded from reset 0 on."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Who is to be recorded where."""

    env_id: str
    """Of gymnasium."""
    learner: type[BaseAlgorithm]
    """The agent's algorithm."""
    stages: tuple[int, ...]
    """Steps after which it is saved."""
    environments: int = 1
    """In which it learns at once."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What its algorithm is given; RL Baselines3 Zoo's where the defaults do not do."""


_SMALL = {"net_arch": [64, 64]}
_SPARSE = {"policy_kwargs": _SMALL | {"log_std_init": -3.67}, "use_sde": True, "ent_coef": 0.1}

RECIPES = {
    "acrobot": Recipe(
        env_id="Acrobot-v1",
        learner=PPO,
        stages=(49_152, 65_536, 98_304),
        environments=16,
        settings={"n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4},
    ),
    # The goal pays once and effort costs: without smooth exploration nobody ever sees the goal.
    "mountaincar": Recipe(
        env_id="MountainCarContinuous-v0",
        learner=SAC,
        stages=(4_000, 8_000, 20_000),
        settings=_SPARSE
        | {"gamma": 0.9999, "tau": 0.01, "learning_starts": 0}
        | {"train_freq": 32, "gradient_steps": 32},
    ),
    "lunarlander": Recipe(
        env_id="LunarLander-v3",
        learner=PPO,
        stages=(65_536, 163_840, 491_520),
        environments=16,
        settings={"n_steps": 1024, "gamma": 0.999, "gae_lambda": 0.98, "ent_coef": 0.01}
        | {"n_epochs": 4, "batch_size": 128},
    ),
    "reacher": Recipe(
        env_id="Reacher-v5",
        learner=SAC,
        stages=(1_500, 3_000, 8_000),
        settings={"policy_kwargs": _SMALL, "learning_starts": 1_000, "batch_size": 128},
    ),
}


def main(
    folder: Annotated[Path, tyro.conf.Positional],
    names: tuple[str, ...] = tuple(RECIPES),
    episodes: int = 300,
    statistics: Path | None = None,
) -> int:
    """Train agents and record data sets into a folder; what is there is kept.

    Args:
        folder: gets `<name>.hdf5`, and agents below `agents/`.
        names: of the sets.
        episodes: of each.
        statistics: file to write what the sets hold into, what it says of others is lost.
    """
    torch.set_num_threads(1)
    found = {}
    for name in names:
        path, recipe = folder / f"{name}.hdf5", RECIPES[name]
        if not path.exists():
            agents = (*train(recipe, folder / "agents" / name), "random")
            run_record(Record(env_id=recipe.env_id, agent=agents, out=str(path), episodes=episodes))
        found[f"recorded-{name}"] = describe(read_file(path))
    if statistics is not None:
        content = {"commit": source_commit(), "sets": found}
        print(f"wrote {write_json(content, statistics, overwrite=True)}")
    return 0


def train(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    """Train an agent and return the files of its stages, those that are there if all are."""
    files = [str(folder / f"{steps}.zip") for steps in recipe.stages]
    if all(map(os.path.exists, files)):
        return tuple(files)
    folder.mkdir(parents=True, exist_ok=True)
    environments = make_vec_env(recipe.env_id, n_envs=recipe.environments, seed=AGENT_SEED)
    agent = recipe.learner(
        "MlpPolicy", environments, seed=AGENT_SEED, device="cpu", **recipe.settings
    )
    for steps, file in zip(recipe.stages, files, strict=True):
        agent.learn(steps - agent.num_timesteps, reset_num_timesteps=False)
        with atomic_write(file, overwrite=True) as made:
            agent.save(made)
        earned = np.mean([episode["r"] for episode in agent.ep_info_buffer or ()])
        print(f"{recipe.env_id}: {agent.num_timesteps} steps, of late {earned:.1f}", flush=True)
    environments.close()
    return tuple(files)


def describe(dataset: TrajectoryDataset) -> dict[str, Any]:
    """Return what a set holds: who played, and the returns that came of it."""
    details, returns = dataset.provenance.details, dataset.returns
    shares = {"q10": 0.1, "median": 0.5, "q90": 0.9, "q99": 0.99}
    return {
        "env_id": dataset.provenance.env_id,
        "fingerprint": dataset.provenance.fingerprint,
        "trajectories": len(dataset),
        "steps": dataset.num_steps,
        "horizon": details["horizon"],
        "agents": details["agents"],
        "mean": float(returns.mean(dtype=np.float64)),
        **{name: float(np.quantile(returns, share)) for name, share in shares.items()},
        "best": float(returns.max()),
        "versions": details["versions"],
    }


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
