"""`lpt-eval`: score a trained policy, draw it, film it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.machine.disk import check_writable
from lpt.machine.files import write_json

if TYPE_CHECKING:
    from lpt.config import EvaluationConfig
    from lpt.evaluation.policy import LPTPolicy
    from lpt.evaluation.rollout import Evaluation

DESCRIPTION = """Evaluate a trained policy: plan once for a target return, then act.

Prints the mean raw return, its 95 % bootstrap interval, the interquartile mean, and D4RL's score
with the constants used. What is not given is taken from the run's own configuration."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of lpt-eval."""

    run: tyro.conf.Positional[Path]
    """Run folder (runs/<task>/<engine>-seed<k>), a checkpoint inside it, pretrained:NAME (lpt-info
    lists them) or hf:USER/NAME (needs the extra 'hub')."""
    which: Literal["last", "best"] = "last"
    """Checkpoint of the run; 'best' was chosen by test returns and is no result to report."""
    episodes: int | None = None
    """Episodes."""
    target: Annotated[tuple[float, ...], tyro.conf.arg(metavar="RETURN [RETURN ...]")] = ()
    """Returns to plan for, raw units; several are all evaluated."""
    weight: float | None = None
    """Planning weight w: 1 is LPT, above 1 LPT-EI."""
    draws: int | None = None
    """Plans drawn again and averaged for an episode (planning.method=aggregated)."""
    sweep: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also evaluate every target of evaluation.sweep; all are printed and stored."""
    actions: Literal["mode", "sample"] | None = None
    """Take the mode of the action likelihood, or draw from it; unset: as configured."""
    label: str | None = None
    """Ends the algorithm's name in --out, as in lpt-argmax; unset: the run's own label
    (and draws<n> with --draws)."""
    seed: int | None = None
    """Seed of planning; episode i is reset with seed + i; unset: the run's own, which depends on
    its training seed."""
    env_id: str | None = None
    """Gymnasium id of another environment with the same spaces, as in my_package:My-v0."""
    device: str = "auto"
    """cpu, cuda, mps or auto."""
    out: Path | None = None
    """Write everything, raw returns too, to this JSON file."""
    plot: Path | None = None
    """Draw to this .png, .pdf or .svg: in mazes the trajectories, with --sweep return against
    target, otherwise sorted returns."""
    video: Path | None = None
    """Film three episodes to this .mp4 or .gif (needs the extra 'video')."""
    html: Path | None = None
    """Write one page to look at, with all targets, episodes and plans, to this .html file (needs
    the extra 'html'); nothing else is needed to open it."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace --out and --html if they are there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 with one line on stderr for a user's error."""
    if show_version("lpt-eval", sys.argv[1:] if arguments is None else arguments):
        return 0
    options = tyro.cli(Arguments, args=arguments, description=DESCRIPTION, prog="lpt-eval")
    return ending("lpt-eval", lambda: run(options))


def run(options: Arguments) -> list[Evaluation]:
    """Evaluate as the options say; prints the table and writes the files asked for.

    Returns:
        The evaluations, in the order of the table.
    """
    with at_once():
        from lpt.evaluation.policy import LPTPolicy
        from lpt.reporting.console import print_evaluations

    _check_outputs(options)
    policy = LPTPolicy.load(options.run, options.which, device=options.device)
    if options.draws is not None:
        _average(policy, options.draws)
    config = policy.metadata.config.evaluation
    targets = list(options.target) or [policy.target]
    if options.sweep:
        if not config.sweep:
            raise ValueError(
                f"{options.run} has no evaluation.sweep in its configuration: give the targets, as "
                "in --target 0 50 100"
            )
        targets += [target for target in config.sweep if target not in targets]
    evaluations = [_evaluate(policy, options, config, target) for target in targets]
    rows = {f"{options.which}, target {e.target:g}": e for e in evaluations}
    print_evaluations(policy.metadata.task, rows)
    for complaint in filter(None, (e.complaint for e in evaluations)):
        print(f"warning: {complaint}")
    _write(policy, options, evaluations)
    return evaluations


def _average(policy: LPTPolicy, draws: int) -> None:
    """Plan with the mean of `draws` plans, and have the result's configuration say so."""
    algorithm, method = policy.algorithm, policy.planning.method
    if not algorithm.infers_plans or method != "aggregated":
        does = f"plans by {method}"
        if not algorithm.infers_plans:
            does = f"is of {algorithm.name}, which has no plan"
        raise ValueError(
            f"--draws averages plans of planning.method=aggregated, and this run {does}: leave it "
            "out"
        )
    policy.planning = replace(policy.planning, draws=draws)
    config = replace(policy.metadata.config, planning=policy.planning)
    policy.metadata = replace(policy.metadata, config=config)


def _evaluate(
    policy: LPTPolicy, options: Arguments, config: EvaluationConfig, target: float
) -> Evaluation:
    from lpt.evaluation.rollout import evaluate

    mode = options.actions
    return evaluate(
        policy,
        options.env_id,
        episodes=config.episodes if options.episodes is None else options.episodes,
        seed=options.seed,
        target=target,
        weight=policy.used_weight(options.weight),
        deterministic=config.deterministic if mode is None else mode == "mode",
        parallel=config.parallel,
        record=options.plot is not None or options.html is not None,
        progress=True,
    )


def _check_outputs(options: Arguments) -> None:
    """Refuse what would fail only after the evaluation."""
    for path in (options.out, options.html):
        if path is not None and path.exists() and not options.overwrite:
            raise FileExistsError(f"{path} is there already: name another file or --overwrite")
    for path in (options.out, options.plot, options.video, options.html):
        if path is not None:
            check_writable(path)
    if options.html is not None:
        from lpt.reporting.page import check_plotly

        check_plotly()
    for path, kinds in (
        (options.html, (".html", ".htm")),
        (options.plot, (".png", ".pdf", ".svg")),
        (options.video, (".mp4", ".gif")),
    ):
        if path is not None and path.suffix.lower() not in kinds:
            raise ValueError(f"cannot write {path}: end its name in {' or '.join(kinds)}")


def _write(policy: LPTPolicy, options: Arguments, evaluations: list[Evaluation]) -> None:
    first = evaluations[0]
    if options.out is not None:
        record = _record(policy, options, evaluations)
        print(f"wrote {write_json(record, options.out, overwrite=options.overwrite)}")
    if options.plot is not None:
        from lpt.reporting.figures import save_figure, sweep_figure, trajectories_figure

        swept = len(evaluations) > 1
        figure = sweep_figure(evaluations) if swept else trajectories_figure(first)
        print(f"wrote {save_figure(figure, options.plot)}")
    if options.html is not None:
        from lpt.reporting.page import write_page

        page = write_page(policy, evaluations, options.html, overwrite=options.overwrite)
        print(f"wrote {page}")
    if options.sweep and next(options.run.glob("events.out.tfevents*"), None) is not None:
        _show_sweep(policy, options.run, evaluations)
    if options.video is not None:
        from lpt.evaluation.video import record_video

        record_video(
            policy,
            options.video,
            first.env_id,
            episodes=3,
            seed=first.seed,
            target=first.target,
            weight=first.weight,
            deterministic=first.deterministic,
        )
        print(f"wrote {options.video}")


def _record(policy: LPTPolicy, options: Arguments, evaluations: list[Evaluation]) -> dict[str, Any]:
    """Return what --out stores."""
    from lpt.reporting.results import result_name, result_record

    first = evaluations[0]
    record: dict[str, Any] = result_record(
        policy.metadata,
        result_name(policy.algorithm.name, first.weight, _label(policy, options)),
        first,
        wall_seconds=_wall_seconds(options.run),
        sweep=evaluations if len(evaluations) > 1 else [],
    )
    if options.which == "best":
        record["best"], record["last"] = record["last"], None
    return record


def _show_sweep(policy: LPTPolicy, run: Path, evaluations: list[Evaluation]) -> None:
    """Add the sweep's figure to the run's TensorBoard."""
    from lpt.reporting.figures import sweep_figure
    from lpt.training.board import Board

    board = Board(replace(policy.metadata.config, track="tensorboard"), run)
    board.image("evaluation/sweep", sweep_figure(evaluations), policy.metadata.updates)
    board.close()


def _label(policy: LPTPolicy, options: Arguments) -> str:
    """End the algorithm's name, so that a table takes other settings for no other seed."""
    if options.label is not None:
        return options.label
    own = policy.metadata.config.label
    if options.draws is None:
        return own
    return f"{own}-draws{options.draws}".removeprefix("-")


def _wall_seconds(run: Path) -> float | None:
    """Training time, where the folder tells it (a policy-only folder does not)."""
    from lpt.checkpoint.files import load_training_state

    try:
        return float(load_training_state(run)[1]["wall_seconds"])
    except (FileNotFoundError, KeyError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
