"""What Connect Four policies do, measured, and the two figures made from it.

python scripts/connect_four.py measure RUN --out play-seed0.json
python scripts/connect_four.py luck RUN RUN --out luck.json
python scripts/connect_four.py trap docs/images/connect_four_trap.png
python scripts/connect_four.py board docs/images/connect_four_board.png RUN RUN --moves 3333
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch

from lpt.checkpoint.files import latest_checkpoint, load_policy_files, load_training_state
from lpt.data import load
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import Evaluation, evaluate
from lpt.inference.engines import LangevinEngine
from lpt.inference.proposal import overview
from lpt.inference.variational import gaussian_kl
from lpt.machine.files import write_json
from lpt.model.latent_plan import LatentPlanTransformer
from lpt.reporting.figures import COLORS, INK, finish, save_figure
from lpt.reporting.results import portable, result_name
from lpt.reporting.statistics import bootstrap_interval
from lpt.training.trainer import Trainer
from lpt_envs.connect_four.board import COLUMNS, ROWS, Board
from lpt_envs.connect_four.solver import analyze

LABELS = {"lpt": "LPT", "lpt-ei": "LPT-EI", "dt-final": "return as the prompt", "bc": "BC"}
OUTCOMES = {1: ("#2f855a", "wins"), 0: ("#d69e2e", "draws"), -1: ("#c53030", "loses")}
"""Color and word of what a move leads to for the player to move."""


def measure(
    run: tyro.conf.Positional[Path],
    out: Path,
    episodes: int | None = None,
    weight: float | None = None,
    overwrite: bool = False,
) -> None:
    """Games for every target of the run's sweep, actions drawn and, apart, arg-max.

    Args:
        run: run or checkpoint folder (the last checkpoint is taken).
        out: JSON file: raw returns, first moves, and the share of moves that keep the game's value.
        episodes: games for each target; unset: the run's own number.
        weight: planning weight; unset: the run's.
        overwrite: replace the file.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already: name another file or --overwrite")
    policy = LPTPolicy.load(run)
    settings = policy.metadata.config.evaluation
    weight = policy.used_weight(weight)
    points = []
    for target in settings.sweep:
        for deterministic in (False, True):
            evaluation = evaluate(
                policy,
                episodes=episodes or settings.episodes,
                seed=settings.seed,
                target=target,
                weight=weight,
                deterministic=deterministic,
                parallel=settings.parallel,
                record=True,
            )
            # Judging moves takes a search of each position: it is done for the task's own target.
            points.append(_point(evaluation, judged=target == policy.target))
            shown = {k: v for k, v in points[-1].items() if k != "returns"}
            print(json.dumps(shown), flush=True)
    write_json(
        {
            "task": policy.metadata.task,
            "algorithm": result_name(policy.metadata.algorithm, weight),
            "seed": policy.metadata.seed,
            "updates": policy.metadata.updates,
            "weight": weight,
            "data": portable(policy.metadata.provenance),
            "points": points,
        },
        out,
        overwrite=overwrite,
    )
    print(f"wrote {out}")


def _point(evaluation: Evaluation, judged: bool = True) -> dict[str, Any]:
    """One target's games: returns as a string of W, D and L, and statistics of the moves."""
    games = evaluation.observations
    boards = np.concatenate([game[:-1] for game in games])  # [moves, 84] before each move
    columns = np.concatenate([_columns(game) for game in games])
    first = [_columns(game)[0] for game in games]
    return {
        "target": evaluation.target,
        "actions": "mode" if evaluation.deterministic else "sample",
        "mean": float(evaluation.returns.mean()),
        "ci95": list(bootstrap_interval(evaluation.returns)),
        "predicted_return": evaluation.predicted_return,
        "first_moves": np.bincount(first, minlength=COLUMNS).tolist(),
        "moves": len(columns),
        "value_preserving": float(_keeps_value(boards, columns).mean()) if judged else None,
        "returns": "".join("LDW"[int(value) + 1] for value in evaluation.returns),
    }


def _columns(game: np.ndarray) -> np.ndarray:
    """Return the columns of the agent's discs in a game's observations `[T + 1, 84]`, `[T]`."""
    discs = game[:, : COLUMNS * ROWS].reshape(len(game), COLUMNS, ROWS).sum(2)
    columns: np.ndarray = np.diff(discs, axis=0).argmax(1)
    return columns


def _keeps_value(boards: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Which moves lead to the best result (win, draw, loss) that their position allows, `[n]`."""
    packed = np.packbits(boards.astype(bool), axis=1)
    _, index, position = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    analyzes = [analyze(Board.from_observation(boards[i])) for i in index]
    kept = np.array([analysis.keeps_value for analysis in analyzes])  # [positions, columns]
    keeps: np.ndarray = kept[position.ravel(), columns]
    return keeps


def luck(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path,
    games: int = 4000,
    overwrite: bool = False,
) -> None:
    """Measure what the plans of the data's games tell of the return: skill, or luck too?

    For the gambler (games that open in column 6) the result is luck: the opponent's blunder. A plan
    of skill alone predicts one return for games won and lost.

    Args:
        runs: run folders of the amortized engine.
        out: JSON file.
        games: games drawn from the data.
        overwrite: replace the file.
    """
    records = []
    for run in runs:
        trainer = _trainer(run)
        data, generator = trainer.dataset, np.random.default_rng(0)
        index = generator.choice(data.num_trajectories, min(games, data.num_trajectories), False)
        predicted, nats = _plans_of_games(trainer, index)
        gambler = data.actions[data.offsets[index]] == COLUMNS - 1
        won = data.returns[index] > 0
        groups = {
            "gambler won": gambler & won,
            "gambler did not win": gambler & ~won,
            "other won": ~gambler & won,
            "other did not win": ~gambler & ~won,
        }
        settings = trainer.config
        wide = settings.model.return_std / settings.posterior.return_weight**0.5
        records.append(
            {
                "run": run.name,
                "task": settings.task,
                "seed": settings.seed,
                "updates": trainer.updates,
                "prior_weight": settings.posterior.prior_weight,
                "learning_sigma_y": wide * data.return_std,  # raw units
                "groups": {
                    name: {
                        "games": int(rows.sum()),
                        "predicted_return": float(predicted[rows].mean()),
                        "nats": float(nats[rows].mean()),
                    }
                    for name, rows in groups.items()
                    if rows.any()
                },
            }
        )
        print(json.dumps(records[-1]), flush=True)
    write_json({"runs": records}, out, overwrite=overwrite)


def _trainer(run: Path) -> Trainer:
    """Return a run's trainer at its last checkpoint."""
    checkpoint = latest_checkpoint(run)
    config = load_policy_files(checkpoint)[1].config
    data = load(config.task, config.dataset, config.source, discrete=True, log=None)
    trainer = Trainer(config, data, torch.device("cpu"))
    trainer.load_state(*load_training_state(checkpoint))
    return trainer


def _plans_of_games(trainer: Trainer, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw returns `[n]` that posterior plans of games `[n]` predict, and the plans' nats."""
    data, model = trainer.dataset, trainer.model  # not averaged, as the proposal is not
    engine = trainer.inference.engine
    if not isinstance(engine, LangevinEngine) or engine.proposal is None:
        raise ValueError("luck reads the proposal's plans: give runs of the amortized engine")
    assert isinstance(model, LatentPlanTransformer)
    generator = torch.Generator().manual_seed(0)
    returns = torch.from_numpy(data.returns[index] - data.return_mean).float() / data.return_std
    glance = overview(data, index, trainer.config.proposal, generator)
    with torch.no_grad():
        mean, std = engine.proposal.network(glance, returns)
        z0 = mean + std * torch.randn(mean.shape, generator=generator)
        predicted = model.predicted_return(model.plan_from_noise(z0)).numpy()
        nats = gaussian_kl(mean, std).numpy()
    return predicted * data.return_std + data.return_mean, nats


def trap(
    out: tyro.conf.Positional[Path],
    results: Path = Path("results/connect-four"),
    actions: str = "sample",
) -> None:
    """Return, and the share of games that open in column 6, against the target asked for.

    Args:
        out: figure to write.
        results: folder with <algorithm>/play-seed<k>.json.
        actions: sample, or mode (arg-max).
    """
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    returns, openings = figure.subplots(1, 2)
    for (name, label), color in zip(LABELS.items(), COLORS, strict=False):
        paths = sorted((results / name).glob("play-seed*.json"))
        if not paths:
            continue
        runs = [json.loads(path.read_text(encoding="utf-8"))["points"] for path in paths]
        runs = [[p for p in run if p["actions"] == actions] for run in runs]
        targets = [point["target"] for point in runs[0]]
        earned = np.array([[p["mean"] for p in run] for run in runs])  # [seeds, targets]
        share = np.array([[p["first_moves"][6] / sum(p["first_moves"]) for p in r] for r in runs])
        for axes, values in ((returns, earned), (openings, share)):
            axes.fill_between(targets, values.min(0), values.max(0), color=color, alpha=0.18, lw=0)
            axes.plot(targets, values.mean(0), "o-", ms=4, lw=2, color=color, label=label)
    returns.plot(targets, targets, color="#a0aec0", lw=1, label="asked", zorder=0)
    returns.set(xlabel="target return", ylabel="mean return of 1000 games a seed")
    openings.set(xlabel="target return", ylabel="games opened in column 6 (the gamble)")
    openings.set_ylim(-0.03, 1.03)
    finish(figure, returns)
    finish(figure, openings)
    print(save_figure(figure, out))


def board(
    out: tyro.conf.Positional[Path],
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    moves: str = "",
    target: float = 1.0,
    plans: int = 200,
) -> None:
    """Draw a position with each policy's move probabilities, colored by the solver's values.

    Args:
        out: figure to write.
        runs: run or checkpoint folders, one panel each.
        moves: the position: columns 0 to 6, both players'; the agent is to move.
        target: return asked for.
        plans: plans whose probabilities are averaged.
    """
    position = Board.from_moves(moves)
    if position.ply % 2:
        raise ValueError(f"--moves {moves}: {position.ply} discs, but the agent moves first")
    outcomes = analyze(position).outcomes
    figure = Figure(figsize=(4.2 * len(runs) + 0.2, 4.6), layout="constrained")
    for axes, run in zip(np.atleast_1d(figure.subplots(1, len(runs))), runs, strict=True):
        policy = LPTPolicy.load(run, seed=0)
        state = policy.begin(policy.plan(target, plans).z)
        for observation, column in zip(_history(moves)[:-1], moves[::2], strict=True):
            _, state = policy.predict(np.tile(observation, (plans, 1)), state)
            played = torch.eye(COLUMNS)[int(column)].expand(plans, -1)
            state = dataclasses.replace(state, previous_action=played)
        probabilities = policy.probabilities(np.tile(_history(moves)[-1], (plans, 1)), state)
        _draw_position(axes, position, probabilities.mean(0), outcomes)
        name = LABELS[result_name(policy.metadata.algorithm, policy.planning.weight)]
        axes.set_title(f"{name}, target {target:+g}", color=INK, fontsize=11)
    handles = [Patch(color=color, label=f"the move {word}") for color, word in OUTCOMES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    print(save_figure(figure, out))


def _history(moves: str) -> list[np.ndarray]:
    """Return the agent's observations up to a position, the position's own last."""
    return [Board.from_moves(moves[:n]).observation() for n in range(0, len(moves) + 1, 2)]


def _draw_position(
    axes: Axes, position: Board, probabilities: np.ndarray, outcomes: tuple[int | None, ...]
) -> None:
    """Discs, and above each column a bar as high as its probability."""
    grid = position.grid()  # [rows, columns], row 0 at the bottom
    axes.axhspan(-0.5, ROWS - 0.5, color="#2c5282")
    for row, column in np.ndindex(ROWS, COLUMNS):
        color = ("white", "#e53e3e", "#ecc94b")[grid[row, column]]
        axes.add_patch(Circle((column, row), 0.41, color=color))
    base, height = ROWS - 0.3, 2.6
    for column, (probability, outcome) in enumerate(zip(probabilities, outcomes, strict=True)):
        color = "#a0aec0" if outcome is None else OUTCOMES[outcome][0]
        axes.bar(column, height * probability, 0.7, bottom=base, color=color)
        text = f"{100 * probability:.0f}" if probability >= 0.005 else "0"
        axes.text(column, base + height * probability + 0.08, text, ha="center", fontsize=9)
    axes.set(xlim=(-0.5, COLUMNS - 0.5), ylim=(-0.5, base + height + 0.5), aspect="equal")
    axes.set(xticks=range(COLUMNS), yticks=[], xlabel="column (bars: probability of the move, %)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"measure": measure, "luck": luck, "trap": trap, "board": board},
            args=arguments,
            description=__doc__,
        )
    except (ValueError, OSError) as error:
        print(f"connect_four: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
