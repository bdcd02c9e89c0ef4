"""`training.precision: auto`: decided by a trial at a run's start, and kept from then on."""

import pytest
import torch
import yaml

from lpt.config.command_line import parse_config
from lpt.machine.processes import Ranks
from lpt.training import Trainer, precision, resume, start
from lpt.training.precision import bfloat16_gain, with_precision

CPU = torch.device("cpu")
AUTO = ["--training.precision", "auto"]


def silent(text: str) -> None:
    """Log nothing."""


@pytest.mark.parametrize(
    ("gain", "chosen"), [(2.0, "bfloat16"), (1.05, "float32"), (0.3, "float32")]
)
def test_the_run_keeps_what_the_trial_chose(gain, chosen, flags, umaze, tmp_path, monkeypatch):
    tried, said = [], []
    monkeypatch.setattr(precision, "bfloat16_gain", lambda *given: tried.append(given) or gain)
    config = parse_config([*flags(umaze, tmp_path / "run", updates=2), *AUTO])
    run = start(config, said.append)
    run.train()
    assert any(f"precision: {chosen}" in text and f"{gain:.2f} times" in text for text in said)
    written = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    assert written["training"]["precision"] == chosen
    assert run.metadata().config.training.precision == chosen
    run.lock.release()
    assert resume(run.folder, silent).config.training.precision == chosen and len(tried) == 1


@pytest.mark.parametrize("settings", [{}, {"algorithm": "dt-final"}, {"sampler": {"segments": 0}}])
def test_a_trial_measures_the_runs_own_sizes(settings, make_config, dataset):
    assert 0 < bfloat16_gain(make_config(**settings), dataset, CPU) < 100


def test_discrete_actions_are_tried_too(make_config, discrete_dataset):
    assert bfloat16_gain(make_config(), discrete_dataset, CPU) > 0


def test_a_trial_leaves_no_trace_in_what_is_learned(make_config, dataset):
    losses = []
    for setting in ("float32", "auto"):
        config = make_config(training={"precision": setting})
        if setting == "auto":
            with_precision(config, dataset, CPU, Ranks(), silent)
            config = make_config()
        losses.append(float(Trainer(config, dataset, CPU).update()["loss/total"]))
    assert losses[0] == losses[1]


def test_a_device_without_bfloat16_needs_no_trial(make_config, dataset):
    assert bfloat16_gain(make_config(), dataset, torch.device("mps")) == 0


def test_a_trainer_on_its_own_is_told_to_decide(make_config, dataset):
    with pytest.raises(ValueError, match="auto is decided where a run is opened"):
        Trainer(make_config(training={"precision": "auto"}), dataset, CPU)
