"""Follow the roads of the documentation and write down what is said, and how long it took.

    python scripts/transcripts.py docs/transcripts.md

The code blocks of the pages in `ROADS` are run from top to bottom, in an empty folder and a home of
their own, without a network, by the commands of this Python's environment (with the extras `export`
and `html`). Nothing is shortened but what is shown: of a progress bar its last state, of long
output both ends. It ends with 1, and writes nothing, if a block fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lpt.machine.files import write_text
from lpt.machine.source import source_commit

ROOT = Path(__file__).parents[1]
ROADS = {
    "README.md": "## Quick start",
    "docs/own_environment.md": "## Agents",
    "docs/export.md": "## ONNX",
}
"""Pages that are followed, from which heading on."""
INPUT = {"lpt-play": "4\nq\n"}
"""What is typed where a command asks."""
SHOWN = 24
"""Lines of output that are shown at most."""
LONGEST = 3600
"""Seconds that a command may take: one that waits for an answer would wait for ever."""
HEAD = """# Transcripts

What the commands of the documentation say, run one after the other from an empty folder, without a
network, by `scripts/transcripts.py` ({commit}). Seconds are those of two cores without a GPU, on
which other work ran too.
"""


def blocks(page: str, start: str) -> list[tuple[str, str]]:
    """Return (language, content) of a page's code blocks from a heading on."""
    _, found, text = (ROOT / page).read_text(encoding="utf-8").partition(f"\n{start}")
    if not found:
        text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shown(output: str, place: Path) -> str:
    """Return what is shown of an output: no bars in motion, no places of this machine."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in output.replace("\r\n", "\n").split("\n")]
    lines = [line.replace(str(place), "~").replace(f"{ROOT}/", "") for line in lines if line]
    if len(lines) > SHOWN:
        half = SHOWN // 2
        lines = [*lines[:half], f"... ({len(lines) - SHOWN} lines more)", *lines[-half:]]
    return "\n".join(lines)


def execute(command: list[str], place: Path, typed: str = "") -> tuple[str, float]:
    """Run a command; returns what it said and the seconds that it took.

    Raises:
        SystemExit: it failed.
    """
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        "PATH": os.pathsep.join(folders),
        "HOME": str(place),
        "COLUMNS": "118",
        "LPT_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "envs")]),
    }
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        input=typed.encode(),  # as bytes, in which a bar's returns stay what they are
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=LONGEST,
    )
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{said}")
    return said, time.monotonic() - began


def follow(page: str, start: str, place: Path) -> list[str]:
    """Run a page's blocks in a folder; returns the Markdown of its transcript."""
    text = [f"\n## [{page}]({'../' * ('/' not in page)}{Path(page).name})\n"]
    script: list[str] = []  # a page's Python goes on where its last block ended
    for language, block in blocks(page, start):
        module = re.match(r"# (\w+\.py)\n", block)
        if module:
            (place / module[1]).write_text(block, encoding="utf-8")
        elif language == "bash":
            for line in filter(None, block.splitlines()):
                typed = next((text for name, text in INPUT.items() if name in line), "")
                said, seconds = execute(["bash", "-c", line], place, typed)
                text.append(f"```console\n$ {line}\n{shown(said, place)}\n```\n{seconds:.1f} s\n")
                print(f"{seconds:6.1f} s  {line}", flush=True)
        else:
            script.append(block)
            said, seconds = execute([sys.executable, "-c", "\n".join(script)], place)
            output = f"\n\n# says\n{shown(said, place)}" if said.strip() else ""
            text.append(f"```python\n{block.rstrip()}{output}\n```\n{seconds:.1f} s\n")
            print(f"{seconds:6.1f} s  Python", flush=True)
    return text


def main() -> int:
    """Write the transcripts; returns the exit code."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    text = [HEAD.format(commit=source_commit()[:12])]
    for page, start in ROADS.items():
        with tempfile.TemporaryDirectory(prefix="lpt-transcript-") as folder:
            text += follow(page, start, Path(folder).resolve())
    print(f"wrote {write_text(chr(10).join(text), sys.argv[1], overwrite=True)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
