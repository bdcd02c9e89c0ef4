"""Drawing the maze with MuJoCo: off screen on machines without a display, or in a window."""

from __future__ import annotations

import ctypes.util
import importlib
import math
import os
import sys
import time
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from lpt_envs.maze2d.mazes import Maze

_FRAME_SECONDS = 1 / 60
_ALIGN = 16  # video encoders want sides divisible by this
_HELP = (
    "On Debian or Ubuntu install a software renderer: 'apt-get install libegl1 libgl1-mesa-dri' "
    "(EGL) or 'apt-get install libosmesa6' (OSMesa); MUJOCO_GL=egl, osmesa or glfw forces one"
)


def image_size(maze: Maze, longer_side: int) -> tuple[int, int]:
    """Return an image's (width, height) in pixels with the maze's shape, both multiples of 16.

    Raises:
        ValueError: `longer_side` is below 16.
    """
    if longer_side < _ALIGN:
        raise ValueError(f"image_pixels must be at least {_ALIGN}, got {longer_side}")
    rows, columns = maze.walls.shape
    scale = longer_side / max(rows, columns)
    width, height = (max(_ALIGN, round(n * scale / _ALIGN) * _ALIGN) for n in (columns, rows))
    return width, height


class _Drawing:
    """The maze seen from straight above: the picture shows it as its string is written."""

    def __init__(self, model: mujoco.MjModel, maze: Maze) -> None:
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + 16)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        rows, columns = maze.walls.shape
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.lookat[:] = (rows + 1) / 2, (columns + 1) / 2, 0.0
        self._camera.azimuth, self._camera.elevation = 180.0, -90.0
        half_angle = math.radians(float(model.vis.global_.fovy)) / 2
        self._camera.distance = 1.02 * rows / 2 / math.tan(half_angle)

    def draw(self, data: mujoco.MjData, rect: mujoco.MjrRect, context: mujoco.MjrContext) -> None:
        """Draw the present state into the context's buffer."""
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, every, self._scene
        )
        mujoco.mjr_render(rect, self._scene, context)


def _new_context(model: mujoco.MjModel) -> mujoco.MjrContext:
    try:
        return mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except Exception as error:
        raise RuntimeError(f"cannot render: {error}. {_HELP}.") from error


class OffscreenRenderer:
    """Renders images without a window.

    Unlike `mujoco.Renderer` it opens the OpenGL platform when first needed, not when mujoco is
    imported, so a machine without a display needs no environment variable.
    """

    def __init__(self, model: mujoco.MjModel, maze: Maze, width: int, height: int) -> None:
        visual = model.vis.global_
        visual.offwidth, visual.offheight = width, height
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._drawing = _Drawing(model, maze)
        self._context: Any = None
        self._gl = _open_gl(width, height)
        self._gl.make_current()
        self._context = _new_context(model)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def render(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """Return an image [height, width, 3] of the present state."""
        self._gl.make_current()
        self._drawing.draw(data, self._rect, self._context)
        image = np.empty((self._rect.height, self._rect.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(image, None, self._rect, self._context)
        return np.ascontiguousarray(image[::-1])  # OpenGL counts rows from the bottom

    def close(self) -> None:
        """Free the OpenGL resources."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None
            self._gl.free()


def _backends() -> list[str]:
    """Return the OpenGL platforms to try, best first."""
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked in ("glfw", "egl", "osmesa", "cgl"):
        return [asked]
    if sys.platform == "darwin":
        return ["cgl", "glfw"]
    if sys.platform == "win32":
        return ["glfw"]
    # PyOpenGL binds to one platform per process: go by what is installed, not by trial
    if os.environ.get("PYOPENGL_PLATFORM", "").lower() == "osmesa":
        return ["osmesa"]
    libraries = (("egl", "EGL"), ("osmesa", "OSMesa"))
    found = [name for name, library in libraries if ctypes.util.find_library(library)]
    return found + (["glfw"] if _has_display() else [])


def _open_gl(width: int, height: int) -> Any:
    problems = []
    for name in _backends():
        try:
            return importlib.import_module(f"mujoco.{name}").GLContext(width, height)
        except Exception as error:  # drivers fail in many ways, each with its own type
            problems.append(f"{name}: {error}")
    tried = "; ".join(problems) or "no EGL or OSMesa library and no display found"
    raise RuntimeError(f"cannot render: {tried}. {_HELP}.")


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class HumanViewer:
    """A window, kept at most at real time.

    `mujoco.viewer.launch_passive` draws from a thread of its own and waits for ever where no window
    can be opened; this one draws when asked.
    """

    def __init__(self, model: mujoco.MjModel, maze: Maze, width: int, height: int) -> None:
        if not _has_display():
            raise RuntimeError(
                "render_mode='human' needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is "
                "set; use render_mode='rgb_array', or run under 'xvfb-run'"
            )
        self._glfw = importlib.import_module("glfw")
        self._window = None
        if self._glfw.init():
            self._window = self._glfw.create_window(width, height, "Maze2D", None, None)
        if not self._window:
            raise RuntimeError("cannot open a window; render_mode='rgb_array' needs none")
        self._glfw.make_context_current(self._window)
        self._context = _new_context(model)
        self._drawing = _Drawing(model, maze)
        self._time, self._due, self._drawn = 0.0, time.monotonic(), -math.inf

    def render(self, data: mujoco.MjData) -> None:
        """Show the present state, then wait for real time to catch up with the simulation's.

        States between two frames of the screen are skipped; a closed window is not drawn any more.
        """
        if self._window is not None and self._glfw.window_should_close(self._window):
            self.close()
        now = time.monotonic()
        if self._window is not None and now - self._drawn >= _FRAME_SECONDS:
            self._glfw.make_context_current(self._window)
            size = self._glfw.get_framebuffer_size(self._window)
            self._drawing.draw(data, mujoco.MjrRect(0, 0, *size), self._context)
            self._glfw.swap_buffers(self._window)
            self._glfw.poll_events()
            self._drawn = now
        elapsed = float(data.time) - self._time
        self._time = float(data.time)
        now = time.monotonic()
        self._due = max(self._due + max(elapsed, 0.0), now)  # a reset turns the clock back
        time.sleep(self._due - now)

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._glfw.make_context_current(self._window)
            self._context.free()
            self._glfw.destroy_window(self._window)
            self._window = None
