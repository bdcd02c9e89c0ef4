"""`write_report`: tables, figures and one page, made from a folder of result files alone."""

from __future__ import annotations

import csv
import hashlib
import io
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from lpt.machine.files import atomic_folder, check_replaceable, write_json, write_text
from lpt.reporting.asked import read_asked
from lpt.reporting.figures import save_figure
from lpt.reporting.results import read_results
from lpt.reporting.rows import rows_of
from lpt.reporting.sections import (
    Section,
    asked_section,
    curve_section,
    files_section,
    pairs_section,
    plan_section,
    profile_section,
    read_replaced,
    results_section,
    score_sections,
)
from lpt.version import __version__

MARK = "report.json"
"""The file that every report's folder has: what it was made from."""
PAGE, TEXT = "report.html", "tables.md"
"""The page, and the same in Markdown."""
_TEMPLATE = Path(__file__).with_name("page.html")
_READ = ("seed*", "sweep*", "play-seed*", "previous-*-seed*")


def write_report(results: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Write a folder of everything that result files say; equal files give equal numbers.

    It holds `report.html` (one page that needs no other file and no network), `tables.md`, a CSV
    of each section's numbers, its figure as PNG and SVG, and `report.json` with the SHA-256 of what
    was read.

    Args:
        results: folder of `<task>/<algorithm>/seed<k>.json` and sweeps.
        out: the folder.
        overwrite: replace it as a whole, if it is a report's.

    Raises:
        FileNotFoundError: if there is no result.
        ValueError: if a file cannot be read.
        FileExistsError: `out` is there and may not be replaced.
    """
    check_replaceable(out, MARK, overwrite)
    made = sections_of(results)
    origin = _origin(results)
    facts = (
        f"Made by lpt-report all from {origin['files']} files, by nothing else; the raw return of "
        f"every episode is in them. SHA-256 of their names and contents: {origin['sha256']}."
    )
    with atomic_folder(out, MARK, overwrite=overwrite) as folder:
        drawings = {section.name: _draw(section, folder) for section in made}
        for section in made:
            if section.numbers:
                write_text(_csv(section), folder / f"{section.name}.csv")
        write_text(_markdown(made, facts), folder / TEXT)
        write_text(_page(made, facts, drawings), folder / PAGE)
        write_json(origin, folder / MARK)
    return out


def sections_of(results: Path) -> list[Section]:
    """Return a report's sections; raises as `write_report`."""
    rows = rows_of(read_results(results))
    found = [
        plan_section(rows),
        *score_sections(rows),
        profile_section(rows),
        asked_section(read_asked(results)),
        curve_section(rows),
        results_section(rows),
        pairs_section(rows),
        files_section(rows, read_replaced(results)),
    ]
    return [section for section in found if section is not None]


def _origin(results: Path) -> dict[str, Any]:
    """Return how many files a report is made from, and their SHA-256."""
    paths = sorted({path for kind in _READ for path in results.glob(f"**/{kind}.json")})
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(results).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return {"files": len(paths), "sha256": digest.hexdigest(), "lpt-toolkit": __version__}


def _draw(section: Section, folder: Path) -> str:
    """Write a section's figure twice, and return it as SVG for a page; empty if it has none."""
    if section.figure is None:
        return ""
    save_figure(section.figure, folder / f"{section.name}.png", dpi=100)
    drawn = save_figure(section.figure, folder / f"{section.name}.svg").read_text(encoding="utf-8")
    return drawn[drawn.index("<svg") :]


def _csv(section: Section) -> str:
    """Return a section's numbers, to seven digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(section.numbers[0]), lineterminator="\n")
    writer.writeheader()
    for record in section.numbers:
        writer.writerow({key: _plain(value) for key, value in record.items()})
    return text.getvalue()


def _plain(value: Any) -> Any:
    return f"{float(value):.7g}" if hasattr(value, "__float__") else value


def _markdown(sections: list[Section], facts: str) -> str:
    parts = ["# What the result files say", facts]
    for section in sections:
        parts += [f"## {section.title}", section.note]
        if section.figure is not None:
            parts.append(f"![{section.title}]({section.name}.png)")
        parts += [table.markdown() for table in section.tables]
        if section.numbers:
            parts.append(f"Numbers: [{section.name}.csv]({section.name}.csv)")
    return "\n\n".join(parts) + "\n"


def _page(sections: list[Section], facts: str, drawings: dict[str, str]) -> str:
    panels = []
    for section in sections:
        tables = "\n".join(f'<div class="table">{table.html()}</div>' for table in section.tables)
        panels.append(
            f'<section class="wide" id="{section.name}"><h2>{escape(section.title)}</h2>'
            f'<p>{escape(section.note)}</p><div class="drawn">{drawings[section.name]}</div>'
            f"{tables}</section>"
        )
    title = "What the result files say"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=title, facts=escape(facts), plotly="", panels="\n".join(panels)
    )
