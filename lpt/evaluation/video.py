"""Videos of episodes, on machines with or without a display (extra `video`)."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from tqdm import tqdm

from lpt.evaluation.environments import env_name
from lpt.evaluation.policy import LPTPolicy
from lpt.machine.files import atomic_write

MEND = "install the video extra: pip install 'lpt-toolkit[video]'"
NO_DISPLAY = (
    "without a display MuJoCo draws by EGL or OSMesa: apt-get install libegl1 libgl1-mesa-dri, or "
    "libosmesa6; or set MUJOCO_GL to egl, osmesa or glfw yourself"
)
PROBE = """
import mujoco
from mujoco.{platform} import GLContext
gl = GLContext(16, 16)
gl.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100).free()
gl.free()
"""
"""Draws nothing, on a platform that may fail; run in a process of its own."""
PATIENCE = 60.0
"""Seconds that it may take; a second or two where it works."""


def record_video(
    policy: LPTPolicy,
    path: Path | str,
    env_id: str | None = None,
    *,
    episodes: int = 1,
    seed: int = 1000,
    target: float | None = None,
    weight: float | None = None,
    deterministic: bool | None = None,
    fps: float | None = None,
    max_frames: int = 600,
) -> list[float]:
    """Record episodes one after the other to an `.mp4` or `.gif`.

    Args:
        policy: the policy.
        path: file to write, atomically; its ending decides the format.
        env_id: environment, which must render `rgb_array`; unset: the checkpoint's.
        episodes: episodes; episode `i` is reset with `seed + i`.
        seed: seed of planning and resets.
        target: raw return to plan for; unset: the policy's.
        weight: planning weight; unset: the policy's.
        deterministic: act by the mode of the action likelihood; unset: as the policy is evaluated.
        fps: frames a second of the film; unset: as the environment's metadata say, 30 at most.
        max_frames: longer films leave frames out, evenly.

    Returns:
        The episodes' returns.

    Raises:
        ValueError: for an unknown format, no environment, or one that does not render here.
        ModuleNotFoundError: if the extra is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"cannot write a video to {path}: end its name in .mp4 or .gif")
    _need_imageio(path)
    drawable = choose_renderer()
    env = policy.environment(env_id, target, render_mode="rgb_array")
    try:
        policy.check(env)
        if not drawable and hasattr(env.unwrapped, "mujoco_renderer"):
            raise ValueError(f"{env_name(env)} cannot be rendered on this machine: {NO_DISPLAY}")
        _follow(env)
        policy.seed(seed)
        film = _Film(env, max_frames)
        returns = []
        for episode in tqdm(range(episodes), desc="filming", unit="episode"):
            policy.reset(target, weight)
            returns.append(_record(policy, env, seed + episode, deterministic, film))
    finally:
        env.close()
    fps = fps or min(30.0, env.metadata.get("render_fps", 30))
    _write(path, film.frames, fps)
    return returns


def choose_renderer() -> bool:
    """Set `MUJOCO_GL`, which decides how MuJoCo draws, on a Linux machine without a display.

    `egl` or `osmesa`, the first that is installed and works. It is left alone where it is set
    already, where there is a display, and where nothing works.

    Returns:
        False if nothing works; environments that draw without OpenGL can be filmed all the same.
    """
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "linux" or os.environ.get("MUJOCO_GL") or display:
        return True
    for platform, library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if ctypes.util.find_library(library) and _draws(platform):
            os.environ["MUJOCO_GL"] = platform
            return True
    return False


def _draws(platform: str) -> bool:
    """Return whether a platform draws, tried elsewhere: PyOpenGL stays with the first it loads."""
    environment = {**os.environ, "MUJOCO_GL": platform}
    command = [sys.executable, "-c", PROBE.format(platform=platform)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:  # a broken driver may hang
        return False
    return done.returncode == 0


def _follow(env: Any) -> None:
    """Use the model's own tracking camera: gymnasium's default lets the robot run out of view."""
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is not None and renderer.camera_id == -1:
        kind = mujoco.mjtObj.mjOBJ_CAMERA
        renderer.camera_id = mujoco.mj_name2id(renderer.model, kind, "track")  # -1: there is none


class _Film:
    """Frames at an even stride, which doubles whenever there are too many of them."""

    def __init__(self, env: Any, most: int) -> None:
        self.env, self.most = env, most
        self.frames: list[np.ndarray] = []
        self.stride, self.steps = 1, 0

    def add(self) -> None:
        """Take in the present state: draw it, if its turn has come."""
        if self.steps % self.stride == 0:
            self.frames.append(_frame(self.env))
        if len(self.frames) > self.most:
            self.frames = self.frames[::2]
            self.stride *= 2
        self.steps += 1


def _record(
    policy: LPTPolicy, env: Any, seed: int, deterministic: bool | None, film: _Film
) -> float:
    observation, _ = env.reset(seed=seed)
    total, done = 0.0, False
    film.add()
    while not done:
        action = policy.act(observation, deterministic)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, done = total + float(reward), terminated or truncated
        film.add()
    return total


def _frame(env: Any) -> np.ndarray:
    try:
        frame = env.render()
    except Exception as error:  # drivers fail in many ways, each with its own type
        words = str(error)
        if "GL" in words and "MUJOCO_GL" not in words:  # of OpenGL, without saying what to do
            words += f" ({NO_DISPLAY})"
        raise ValueError(f"{env_name(env)} cannot be rendered on this machine: {words}") from error
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"{env_name(env)} renders {type(frame).__name__}, not images (rgb_array)")
    return frame


def _need_imageio(path: Path) -> None:
    needed = ["imageio"] + ["imageio_ffmpeg"] * (path.suffix.lower() == ".mp4")
    for module in needed:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"videos need {module}: {MEND}")


def _prefer_own_ffmpeg() -> None:
    """Encode films by the system's FFmpeg, if any: the one of the extra is under the GPL."""
    if own := shutil.which("ffmpeg"):
        os.environ.setdefault("IMAGEIO_FFMPEG_EXE", own)


def _write(path: Path, frames: list[np.ndarray], fps: float) -> None:
    import imageio.v3

    with atomic_write(path, overwrite=True) as temporary:
        if path.suffix.lower() == ".gif":
            imageio.v3.imwrite(temporary, frames, duration=1000 / fps, loop=0)
        else:
            _prefer_own_ffmpeg()
            # Encoders of players want even sides; the codec below is read by every browser.
            even = [frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames]
            imageio.v3.imwrite(temporary, even, fps=fps, codec="libx264", macro_block_size=1)
