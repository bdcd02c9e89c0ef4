"""Training that stops being finite is noticed in that update, and nothing of it is saved."""

import re

import pytest
import safetensors.torch
import torch

from lpt.checkpoint.files import list_checkpoints, load_policy_files, load_training_state
from lpt.config import TrainingConfig
from lpt.config.command_line import parse_config
from lpt.training.divergence import Divergence, Watch
from lpt.training.opening import start

pytestmark = pytest.mark.usefixtures("short_episodes")
ALWAYS = "--training.checkpoint-minutes 0 --training.log-every 50".split()


def test_the_update_and_its_trajectories_are_named(umaze, tmp_path, flags, lpt_train, capsys):
    out = tmp_path / "run"
    wild = ["--training.learning-rate", "1e18", *ALWAYS]
    assert lpt_train([*flags(umaze, out, 40), *wild]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(
        r"lpt-train: training diverged in update 2: loss \S+, norm of the gradient \S+, on "
        rf"trajectories \d+(, \d+)+ of the data; {out}/checkpoints/00000001 is from before and "
        r"finite\. Start another run with a lower --training.learning-rate \(now 1e\+18\)",
        error,
    )
    (saved,) = list_checkpoints(out)
    assert saved.name == "00000001"
    tensors = load_policy_files(out)[0] | load_training_state(out)[0]
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())
    assert not (out / "best").exists()


def test_a_weight_that_no_loss_has_shown_is_not_saved(umaze, tmp_path, flags):
    run = start(parse_config(flags(umaze, tmp_path / "run", 5)), log=lambda text: None)
    run.save()
    with torch.no_grad():
        next(run.trainer.model.parameters()).view(-1)[0] = torch.inf
    run.trainer.updates += 1
    with pytest.raises(Divergence, match=r"by update 1: model\.\S+ is not finite, so this is not"):
        run.save()
    assert [path.name for path in list_checkpoints(run.folder)] == ["00000000"]


def test_updates_that_are_looked_at_late_are_still_told_apart(tmp_path, monkeypatch):
    watch = Watch(tmp_path, TrainingConfig())
    for update in (1, 2, 3):
        loss = torch.tensor(float("nan") if update == 2 else 1.0)
        values = torch.stack((loss, torch.ones(())))
        watch._unseen.append((update, values, torch.arange(20) + 100 * update))
    with pytest.raises(
        Divergence, match=r"update 2: .* 200, 201, .* 207, \.\.\. of .* nothing was"
    ):
        watch.look()
    watch.look()  # told once


def test_a_checkpoint_that_is_not_finite_is_not_resumed(umaze, tmp_path, flags, lpt_train, capsys):
    out = tmp_path / "run"
    assert lpt_train(flags(umaze, out, 3)) == 0
    path = list_checkpoints(out)[-1] / "training.safetensors"
    tensors = load_training_state(out)[0]
    name = next(name for name in tensors if name.startswith("model."))
    safetensors.torch.save_file({**tensors, name: tensors[name] * torch.nan}, path)
    assert lpt_train(["--resume", str(out)]) == 2
    assert f"{name} is not finite, the run had diverged" in capsys.readouterr().err
