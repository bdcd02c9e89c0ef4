"""`lpt-data record`: agents in any environment become a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lpt.cli.ending import at_once
from lpt.machine.disk import check_writable
from lpt.machine.files import check_absent

if TYPE_CHECKING:
    from lpt.data.dataset import TrajectoryDataset
    from lpt.data.recipes.recording import Recording

_HDF5, _NPZ = (".hdf5", ".h5"), ".npz"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Let agents act in an environment and write what they do.

    Episode i is played by the agents in turns; one named twice plays twice as often. Saved agents
    are loaded by stable-baselines3, which runs code that is in the file: take those you trust. They
    see observations as the environment gives them: an agent that was trained behind VecNormalize
    needs that in the environment itself.
    """

    env_id: tyro.conf.Positional[str]
    """Gymnasium id, as in Acrobot-v1 or my_package:My-v0."""
    agent: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="AGENT")]
    """An agent's .zip (PPO, A2C, DQN, SAC, TD3 or DDPG of stable-baselines3), or random; may be
    given several times."""
    out: str
    """File to write, .hdf5 or .npz, or a Minari id such as mine/acrobot-v0."""
    episodes: int = 100
    """Episodes of all agents together."""
    seed: int = 0
    """Episode i is reset with seed + i."""
    deterministic: tyro.conf.FlagCreatePairsOff[bool] = False
    """Saved agents take the mode of their policy, instead of exploring as in training."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace what is there."""


def run_record(command: Record) -> TrajectoryDataset:
    """Record, write and print a data set; returns it.

    Raises:
        FileExistsError: the file exists and `overwrite` is not set.
        DiskError: it cannot be written, which is told before the work begins.
        FileNotFoundError: there is no such agent.
        ValueError: as `lpt.data.recipes.recording.record`, or `out` names nothing to write.
    """
    with at_once():
        from lpt.data.recipes.recording import record

    _check_target(command)
    with tqdm(total=command.episodes, desc=command.env_id, unit="episode", delay=1) as bar:
        recording = record(
            command.env_id,
            command.agent,
            command.episodes,
            seed=command.seed,
            deterministic=command.deterministic,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    _write(recording, command)
    dataset = recording.dataset
    print(dataset)
    Console(width=100).print(_table(dataset))
    print(
        f"wrote {command.out}\nnext: lpt-train --env {Path(command.out).stem} --source "
        f"{command.out}"
    )
    return dataset


def _check_target(command: Record) -> None:
    """Refuse what could not be written, before the work begins."""
    from lpt.data.formats.minari import is_minari_id
    from lpt.data.formats.minari_writer import check_minari_target

    if is_minari_id(command.out):
        _check_storable(command.env_id, command.out)
        check_minari_target(command.out, command.overwrite)
        return
    if not command.out.lower().endswith((*_HDF5, _NPZ)):
        raise ValueError(
            f"--out {command.out}: expected a file that ends in .hdf5 or .npz, or a Minari id "
            "(namespace/name-v0)"
        )
    check_absent(Path(command.out), command.overwrite)
    check_writable(command.out)


def _check_storable(env_id: str, out: str) -> None:
    """Raise ValueError for an environment that Minari cannot store as text."""
    from lpt.data.recipes.recording import make_recordable

    env = make_recordable(env_id)
    env.close()
    if env.spec is not None and callable(env.spec.entry_point):
        name = getattr(env.spec.entry_point, "__name__", "MyEnv")
        raise ValueError(
            f"--out {out}: Minari stores environments as text, but {env.spec.id} is registered "
            f"with a class: register it with 'module:{name}', or write "
            "an .hdf5 file"
        )


def _write(recording: Recording, command: Record) -> None:
    from lpt.data.formats.d4rl import write_d4rl
    from lpt.data.formats.minari import is_minari_id
    from lpt.data.formats.minari_writer import write_minari
    from lpt.data.formats.npz import write_npz

    dataset, overwrite = recording.dataset, command.overwrite
    if is_minari_id(command.out):
        final = recording.final_observations
        write_minari(command.out, dataset, final_observations=final, overwrite=overwrite)
    elif command.out.lower().endswith(_NPZ):
        write_npz(command.out, dataset, overwrite=overwrite)
    else:
        write_d4rl(command.out, dataset, overwrite=overwrite)


def _table(dataset: TrajectoryDataset) -> Table:
    """Return who played how often, and earned what."""
    table = Table("agent", "trained for", "episodes", "mean return", box=None, pad_edge=False)
    for agent in dataset.provenance.details["agents"]:
        steps, mean = agent.get("trained_steps"), agent["mean_return"]
        table.add_row(
            agent["name"],
            "" if steps is None else f"{steps:,} steps",
            str(agent["episodes"]),
            "" if mean is None else f"{mean:.4g}",
        )
    return table
