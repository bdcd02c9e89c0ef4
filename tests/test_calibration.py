"""scripts/calibration.py and calibration_runs.py: where the answer is known they give it."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lpt.config.command_line import parse_config
from lpt.inference.samplers import metropolis_langevin
from lpt.training import Trainer, start

SCRIPTS = Path(__file__).parents[1] / "scripts"


def read(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known():
    return read("calibration")


@pytest.fixture(scope="module")
def runs():
    return read("calibration_runs")


@pytest.mark.parametrize("weight", [1.0, 0.05])
def test_draws_of_the_closed_form_have_no_error_and_others_the_one_that_they_have(known, weight):
    mean, covariance, precision = known.exact(weight)
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0))
    draws = mean + noise @ torch.linalg.cholesky(covariance).T
    right = known.errors(draws, weight)
    assert right["mean_error"] < 0.02 and right["variance_ratio"] == pytest.approx(1, abs=0.03)
    assert abs(right["energy_excess"]) < 0.02 and abs(right["divergence"]) < 1e-3
    wide = known.errors(mean + 2 * (draws - mean), weight)
    assert wide["energy_excess"] == pytest.approx(1.5, abs=0.06)
    assert wide["divergence"] == pytest.approx(1.5 - math.log(2), abs=0.06)
    off = known.errors(draws + covariance.diagonal().sqrt(), weight)
    assert off["mean_error"] == pytest.approx(1, abs=0.02)
    # The bound's best Gaussian has the posterior's mean and energy, whatever it leaves out.
    _, std = known.closed_proposal(weight, 0.0).propose(None, torch.zeros(2))
    assert std[0].flatten()[:4] == pytest.approx(precision.diagonal() ** -0.5)
    assert known.errors(draws * math.nan, weight)["divergence"] is None


@pytest.mark.parametrize("name", ["amortized", "langevin", "langevin-paper", "variational"])
def test_an_engine_spends_the_gradients_that_it_is_said_to(known, name):
    spent, evidence = 0, known.closed_evidence(1.0, 3)

    def counting(z0):
        nonlocal spent
        spent += 1
        return evidence.energy(z0)

    budget = 0 if name == "amortized" else 4
    engine = known.engine_at(name, budget, known.SHAPE, known.closed_proposal(1.0, 0.0))
    engine.infer(replace(evidence, energy=counting), torch.Generator().manual_seed(0))
    assert spent == budget


def test_counts_that_should_be_equal_are_judged_by_chi_square(known):
    assert known.uniform(torch.tensor([50, 50])) == 1.0
    assert known.uniform(torch.tensor([60, 40])) == pytest.approx(0.0455, abs=1e-4)
    assert known.uniform(torch.tensor([90, 10])) < 1e-10


def test_only_the_log_joint_tells_draws_of_the_prior_from_the_posteriors(known):
    model, noise = known.small_model(), torch.Generator().manual_seed(3)
    given = known.simulate(model, 300, noise)
    normal = torch.randn(300 * known.DRAWS, *model.plan_shape, generator=noise)
    found = known.ranked(model, given, normal)
    assert sum(found["return"]["counts"]) == 300 == sum(found["z0"]["counts"]) / 16
    assert found["z0"]["p"] > 1e-3 < found["return"]["p"] and found["joint"]["p"] < 1e-6
    narrow = known.ranked(model, given, 0.3 * normal)
    assert narrow["z0"]["p"] < 1e-6
    assert narrow["z0"]["counts"][0] > 2 * narrow["z0"]["counts"][4]  # the truth lies outside


def test_a_model_scores_what_it_simulates(known):
    """Log joint of the true noise: on average above that of other trajectories' noise."""
    model = known.small_model()
    given = known.simulate(model, 200, torch.Generator().manual_seed(0))
    own, others = (known.log_joint(model, given, z) for z in (given.z0, given.z0.roll(1, 0)))
    assert float((own - others).mean()) > 1
    energy = known.evidence_of(model, given, 2).energy(given.z0.repeat_interleave(2, 0))
    torch.testing.assert_close(energy, -own.repeat_interleave(2))


def gaussian(z0):
    return 0.5 * z0.square().flatten(1).sum(1)


@pytest.mark.parametrize(("scale", "excess"), [(1.0, 0.0), (2.0, 1.5)])
def test_chains_are_followed_to_where_longer_ones_are(runs, scale, excess):
    """Draws of N(0, 4) lie 1.5 nats a coordinate above those of N(0, 1), whose variance is 1."""
    mean = torch.zeros(256, 1, 8)
    energies = {"seen": gaussian, "whole": gaussian}
    found = runs.follow(energies, mean, mean + scale, {1: 0.3, 16: 0.6}, rounds=16, times=32)
    first, *_, last = found["points"]
    assert first["seen"] == first["whole"] == pytest.approx(excess, abs=0.1)
    assert first["variance_ratio"] == pytest.approx(scale**2, rel=0.1)
    assert abs(last["seen"]) < 0.1 and last["mean_error"] < 0.2 and abs(found["drift"]) < 0.05
    assert found["prior"]["seen"] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("first", [0.05, 1.5])
def test_step_sizes_adapt_to_six_acceptances_in_ten(runs, first):
    mean, noise = torch.zeros(128, 2, 64), torch.Generator().manual_seed(0)
    size = runs.adapted(gaussian, mean, mean + 1, 8, first, noise)
    chain = metropolis_langevin(gaussian, torch.randn(500, 2, 64), 8, size, noise)
    assert chain.acceptance == pytest.approx(0.6, abs=0.05)


def test_moments_are_compared_for_each_trajectory(runs):
    noise = torch.Generator().manual_seed(0)
    level = 10.0 * torch.arange(4).repeat_interleave(64)[:, None, None]
    long = level + torch.randn(50, 256, 1, 8, generator=noise)
    draws = level + 0.5 + 2 * torch.randn(256, 1, 8, generator=noise)
    found = runs.compare(draws, long, 64)
    assert found["mean_error"] == pytest.approx(0.5, abs=0.1)
    assert found["variance_ratio"] == pytest.approx(4, rel=0.1)


@pytest.fixture(scope="module")
def run(umaze, flags, tmp_path_factory):
    """A small run whose chains see ends of trajectories only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    chains = "--engine langevin --posterior.trajectories 6 --posterior.segments 4"
    chains = [*chains.split(), "--sampler.counted-steps", "240"]
    made = start(parse_config([*flags(umaze, folder, 3), *chains]), log=lambda text: None)
    made.train()
    return made


def test_segments_estimate_the_energy_of_the_end_that_they_are_of(runs, run):
    trainer: Trainer = run.trainer
    assert trainer.config.evidence_ends and trainer.config.sampler.counted_steps
    sampler = trainer.batches.evidence
    batch = sampler.resegment(sampler.draw())
    every, counted = runs.whole(trainer, batch), trainer.config.sampler.counted_steps
    assert every.weight.sum((1, 2)).tolist() == pytest.approx(
        [counted] * len(every.index), rel=1e-4
    )
    shown = every.weight[:, 0].bool().float().argmax(1) / torch.tensor(
        trainer.dataset.lengths[batch.index.numpy()]
    )
    assert (shown <= batch.begin).all() and (shown > batch.begin - 0.5).all()
    twice = runs.repeated(batch, 2, 3)
    assert twice.index.tolist() == batch.index[:2].repeat_interleave(3).tolist()


def test_a_run_is_measured_and_all_is_drawn(known, runs, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "AT", (1, 2))
    monkeypatch.setattr(known, "VISITS", 1)
    monkeypatch.setattr(known, "BUDGETS", (2, 3))
    monkeypatch.setattr(known, "CASES", (("amortized", 0.0), ("langevin", 1.0)))
    drawn = {"amortized": (0,), "langevin": (2, 17), "langevin-paper": (3,), "variational": (8,)}
    monkeypatch.setattr(known, "RANKED", drawn)
    out, small = tmp_path / "out", ["--trajectories", "3", "--times", "2", "--rounds", "4"]
    measured = ["measure", str(run.folder), "--out", str(out / "run.json"), *small]
    run.lock.release()
    assert runs.main(measured) == 0
    record = json.loads((out / "run.json").read_text())
    assert [point["steps"] for point in record["points"]] == [0, 1, 2]
    assert all(np.isfinite(list(point.values())).all() for point in record["points"])
    assert record["chains"] == 6 and record["posterior_steps"] == 1
    assert runs.main(measured) == 2 and "is not overwritten" in capsys.readouterr().err
    assert known.main(["closed-form", "--rows", "4", "--out", str(out / "closed_form.json")]) == 0
    sizes = ["--count", "6", "--updates", "1", "--out", str(out / "ranks.json")]
    assert known.main(["ranks", *sizes]) == 0
    assert runs.main(["figure", str(tmp_path / "all.png"), "--results", str(out)]) == 0
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
