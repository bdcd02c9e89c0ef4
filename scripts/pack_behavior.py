"""Pack a folder of SAC actors into the files that the package ships.

python scripts/pack_behavior.py FOLDER

FOLDER holds `<robot>.safetensors` (see `lpt_envs.mujoco.actors`) and `<robot>.csv` (step, mean
training return of the last steps, mean sampled return). The medium actor is the one whose measured
return is nearest that of D4RL's medium data; actors after it are left out, unless one is the
expert.
"""

from __future__ import annotations

import csv
from pathlib import Path

import tyro

from lpt.data.tasks import TASKS
from lpt.machine.files import atomic_write
from lpt_envs.mujoco.actors import SHIPPED, ActorFile, pack_actors, read_actors
from lpt_envs.mujoco.recipes import MEDIUM_RETURN, ROBOTS, ActorReturn, actor_return


def main(
    folder: tyro.conf.Positional[Path],
    out: Path = SHIPPED,
    candidates: int = 3,
    steps: int = 50_000,
    warmup: int = 5_000,
) -> None:
    """Pack the actors of every robot.

    Args:
        folder: where they are.
        out: where to put the packed files.
        candidates: how many actors to measure, those with the nearest returns in the csv.
        steps: how long to measure each, in the environment of the data.
        warmup: random steps at the beginning of their training, where the file does not say.
    """
    out.mkdir(parents=True, exist_ok=True)
    for robot in ROBOTS:
        pack(robot, read_actors(folder / f"{robot}.safetensors"), out, candidates, steps, warmup)
    total = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    print(f"{total / 1e6:.2f} MB in all in {out}")


def pack(robot: str, file: ActorFile, out: Path, candidates: int, steps: int, warmup: int) -> None:
    """Choose the medium actor of one robot and write what the recipes need."""
    with open(file.path.with_suffix(".csv"), newline="") as text:
        sampled = {int(step): float(value) for step, _, value in list(csv.reader(text))[1:]}
    target = MEDIUM_RETURN[robot]
    near = sorted(file.steps, key=lambda step: abs(sampled[step] - target))[:candidates]
    measured = {step: measure(robot, file, step, steps) for step in sorted(near)}
    medium = min(measured, key=lambda step: abs(measured[step].mean - target))
    kept = [step for step in file.steps if step <= medium or step == file.expert]
    packed = pack_actors(
        file.env_id,
        {step: file.layers(step) for step in kept},
        warmup=file.warmup or warmup,
        medium=medium,
        expert=file.expert,
        details={
            "returns": {step: sampled[step] for step in kept},
            "medium_return": round(measured[medium].mean, 1),
        },
    )
    with atomic_write(out / f"{robot}.safetensors", overwrite=True) as temporary:
        temporary.write_bytes(packed)
    print(f"{robot}: medium is the actor of step {medium} (wanted {target:g}); {len(kept)} kept")


def measure(robot: str, file: ActorFile, step: int, steps: int) -> ActorReturn:
    """Measure and print the return of one actor in the environment of the data."""
    env_id = TASKS[f"{robot}-medium"].env_id
    result = actor_return(file, step, env_id, steps=steps)
    print(
        f"{robot} {step}: {result.mean:.0f} ± {result.std:.0f} in {env_id}, "
        f"{result.episodes} episodes of {result.length:.0f} steps"
    )
    return result


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
