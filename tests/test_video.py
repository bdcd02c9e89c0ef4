"""Films of MuJoCo environments on a machine without a display."""

import ctypes.util
import os
import subprocess

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
import torch

from lpt.config import ModelConfig, PlanningConfig
from lpt.evaluation.environments import make_environment
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.video import _follow, _prefer_own_ffmpeg, choose_renderer, record_video
from lpt.model import LatentPlanTransformer, Spaces

FIND_LIBRARY = ctypes.util.find_library


@pytest.fixture
def headless(monkeypatch):
    """No display, and nothing chosen yet; what is chosen is forgotten again."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.setenv(name, "")


def hide(monkeypatch, *libraries):
    def find(name):
        return None if name in libraries else FIND_LIBRARY(name)

    monkeypatch.setattr(ctypes.util, "find_library", find)


def read_frames(path):
    """`[frames, 480, 480, 3]`; imageio's own reader leaves ffmpeg's pipes open."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, 480, 480, 3)


@pytest.fixture
def hopper_policy(make_metadata):
    """Untrained; Hopper falls over within some thirty steps."""
    torch.manual_seed(0)
    spaces = Spaces(observation_dim=11, action_dim=3, discrete=False)
    model = LatentPlanTransformer(ModelConfig(width=16, heads=2, prior_width=0), spaces)
    metadata = make_metadata(
        task="hopper-medium",
        env_id="Hopper-v4",
        spaces=spaces,
        observation_mean=(0.0,) * 11,
        observation_std=(1.0,) * 11,
    )
    return LPTPolicy(model, metadata, PlanningConfig(steps=2))


def test_the_systems_ffmpeg_is_preferred_to_the_one_under_the_gpl(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "")  # so that what is set is forgotten again
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")
    monkeypatch.setenv("PATH", str(tmp_path))
    _prefer_own_ffmpeg()
    assert "IMAGEIO_FFMPEG_EXE" not in os.environ
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    _prefer_own_ffmpeg()
    assert os.environ["IMAGEIO_FFMPEG_EXE"] == str(own)


def test_a_mujoco_film_without_a_display(headless, tmp_path, hopper_policy):
    if not choose_renderer():
        pytest.skip("neither EGL nor OSMesa works here")
    path = tmp_path / "films" / "hopper.mp4"
    returns = record_video(hopper_policy, path, max_frames=12)
    frames = read_frames(path)
    assert len(returns) == 1 and 6 < len(frames) <= 12
    assert all(frame.std() > 10 for frame in frames)
    changes = np.abs(np.diff(frames.astype(int), axis=0)).max((1, 2, 3))
    assert (changes > 20).all()
    assert [p.name for p in path.parent.iterdir()] == ["hopper.mp4"]


@pytest.mark.parametrize("env_id", ["Hopper-v4", "HalfCheetah-v4"])
def test_the_camera_follows_the_robot(env_id, headless):
    """Fifty meters on, the robot is still in the picture."""
    if not choose_renderer():
        pytest.skip("neither EGL nor OSMesa works here")
    env = make_environment(env_id, render_mode="rgb_array")
    try:
        env.reset(seed=0)
        _follow(env)
        seen = []
        for place in (0.0, 50.0):
            env.unwrapped.data.qpos[0] = place
            mujoco.mj_forward(env.unwrapped.model, env.unwrapped.data)
            red, green, _ = np.moveaxis(env.render().astype(int), -1, 0)
            seen.append(int((red > green + 30).sum()))
    finally:
        env.close()
    assert seen[0] > 1000 and seen[1] > 0.5 * seen[0]  # out of view, it would be nothing


@pytest.mark.parametrize(("platform", "hidden"), [("egl", "OSMesa"), ("osmesa", "EGL")])
def test_what_is_installed_is_chosen(platform, hidden, headless, monkeypatch):
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)  # another test may have drawn
    if FIND_LIBRARY({"egl": "EGL", "osmesa": "OSMesa"}[platform]) is None:
        pytest.skip(f"no {platform} here")
    hide(monkeypatch, hidden)
    assert choose_renderer()
    assert os.environ["MUJOCO_GL"] == platform


def test_a_display_is_left_to_mujoco(headless, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    assert choose_renderer()
    assert not os.environ["MUJOCO_GL"]


def test_without_any_library_it_says_what_to_install(
    headless, monkeypatch, tmp_path, hopper_policy
):
    hide(monkeypatch, "EGL", "OSMesa")
    path = tmp_path / "hopper.mp4"
    with pytest.raises(ValueError, match=r"Hopper-v4 cannot be .* apt-get install libegl1"):
        record_video(hopper_policy, path)
    assert not path.exists()
