"""scripts/prior_study.py: plans of the prior match it, others do not, and runs are measured."""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lpt.evaluation import LPTPolicy

SCRIPT = Path(__file__).parents[1] / "scripts" / "prior_study.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prior_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_plans_of_the_prior_match_it(script):
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(500, 2, 4, generator=generator)
    fitting, narrow, shifted = (
        script.match(plans, generator) for plans in (normal, 0.5 * normal, normal + 0.5)
    )
    assert abs(fitting["energy_distance"]) < 0.02 > abs(fitting["energy_distance_of_normal"])
    assert narrow["energy_distance"] > 0.1 and shifted["energy_distance"] > 0.1
    assert max(narrow["variance"]) < 0.4 and min(shifted["mean"]) > 0.3
    assert fitting["mean_square"] == pytest.approx(1.0, abs=0.1)


def test_runs_with_and_without_a_unet_are_measured(
    script, make_policy_model, make_metadata, tmp_path
):
    for width in (0, 4):
        model = make_policy_model(prior_width=width, remembered_plans=16)
        model.remembered.add(torch.randn(20, *model.plan_shape))
        metadata = make_metadata(config={"model": asdict(model.config)})
        LPTPolicy(model, metadata).save(tmp_path / f"width{width}")
    out = tmp_path / "prior.json"
    runs = [str(tmp_path / f"width{width}") for width in (0, 4)]
    assert script.main([*runs, "--out", str(out)]) == 0
    one, two = json.loads(out.read_text())["runs"]
    assert (one["prior_width"], two["prior_width"]) == (0, 4)
    assert one["plans"] == 16 and 1 <= one["effective_plans"] <= 16
    assert len(one["variance"]) == 32
    assert script.main([*runs, "--out", str(out)]) == 2  # it is there


def test_a_run_that_remembers_nothing_is_refused(
    script, capsys, make_policy_model, make_metadata, tmp_path
):
    model = make_policy_model()
    metadata = make_metadata(config={"model": asdict(model.config)})
    folder = LPTPolicy(model, metadata).save(tmp_path / "none")
    assert script.main([str(folder), "--out", str(tmp_path / "out.json")]) == 2
    assert "this model has none" in capsys.readouterr().err
