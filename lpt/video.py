"""Videos of episodes, on machines with or without a display (extra ``video``)."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from lpt.checks import check_spaces, env_name
from lpt.evaluation import environment_kwargs, make_environment
from lpt.policy import LPTPolicy

MEND = "install the video extra: pip install 'lpt-toolkit[video]'"


def record_video(
    policy: LPTPolicy,
    path: Path | str,
    env_id: str | None = None,
    *,
    episodes: int = 1,
    seed: int = 1000,
    target: float | None = None,
    weight: float | None = None,
    deterministic: bool = True,
    fps: float | None = None,
    max_frames: int = 600,
) -> list[float]:
    """Record episodes one after the other to an ``.mp4`` or ``.gif``.

    Args:
        policy: the policy.
        path: file to write, atomically; its ending decides the format.
        env_id: environment, which must render ``rgb_array``; unset: the checkpoint's.
        episodes: episodes; episode ``i`` is reset with ``seed + i``.
        seed: seed of planning and resets.
        target: raw return to plan for; unset: the policy's.
        weight: planning weight; unset: the policy's.
        deterministic: act by the mode of the action likelihood.
        fps: frames a second of the film; unset: as the environment's metadata say, 30 at most.
        max_frames: longer films leave frames out, evenly.

    Returns:
        The episodes' returns.

    Raises:
        ValueError: for an unknown format, an environment that does not render, or no environment.
        ModuleNotFoundError: if the extra is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"cannot write a video to {path}: end its name in .mp4 or .gif")
    _need_imageio(path)
    env_id = env_id or policy.metadata.env_id
    if env_id is None:
        raise ValueError("the checkpoint names no environment: give one, such as 'Hopper-v4'")
    kwargs = environment_kwargs(policy.metadata, env_id)
    env = make_environment(env_id, **kwargs, render_mode="rgb_array")
    try:
        check_spaces(env, policy.spaces, policy.metadata.task)
        policy.seed(seed)
        frames: list[np.ndarray] = []
        returns = []
        for episode in range(episodes):
            policy.reset(target, weight)
            returns.append(_film(policy, env, seed + episode, deterministic, frames))
    finally:
        env.close()
    stride = -(-len(frames) // max_frames)
    fps = fps or min(30.0, env.metadata.get("render_fps", 30))
    _write(path, frames[::stride], fps)
    return returns


def _film(
    policy: LPTPolicy, env: Any, seed: int, deterministic: bool, frames: list[np.ndarray]
) -> float:
    observation, _ = env.reset(seed=seed)
    total, done = 0.0, False
    frames.append(_frame(env))
    while not done:
        action = policy.act(observation, deterministic)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, done = total + float(reward), terminated or truncated
        frames.append(_frame(env))
    return total


def _frame(env: Any) -> np.ndarray:
    try:
        frame = env.render()
    except (RuntimeError, ImportError) as error:  # no OpenGL here; the message says what to do
        raise ValueError(f"{env_name(env)} cannot be rendered on this machine: {error}") from error
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"{env_name(env)} renders {type(frame).__name__}, not images (rgb_array)")
    return frame


def _need_imageio(path: Path) -> None:
    needed = ["imageio"] + ["imageio_ffmpeg"] * (path.suffix.lower() == ".mp4")
    for module in needed:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"videos need {module}: {MEND}")


def _write(path: Path, frames: list[np.ndarray], fps: float) -> None:
    import imageio.v3

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    if path.suffix.lower() == ".gif":
        imageio.v3.imwrite(temporary, frames, duration=1000 / fps, loop=0)
    else:
        # Encoders of players want even sides; the codec below is read by every browser.
        even = [frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames]
        imageio.v3.imwrite(temporary, even, fps=fps, codec="libx264", macro_block_size=1)
    os.replace(temporary, path)
