"""What mkdocs is told besides mkdocs.yml: pages of the root and of the API, and links to them.

The repository's own pages link to each other and to the code as they lie in it. On the site a link
to code leads to its page in the API.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = {"README.md": "index.md"} | {
    name: name.lower() for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
}
"""Pages of the repository's root and what they are called on the site."""
LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the root's pages, and one page of the API for each package."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_linked(text, ROOT)))
    for package in sorted((ROOT / "lpt").glob("*/__init__.py")):
        name = package.parent.name
        text = f"# lpt.{name}\n\n::: lpt.{name}\n"
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead a page's links to where they lead on the site."""
    return markdown if page.file.generated_by else _linked(markdown, ROOT / "docs")


def _linked(markdown: str, folder: Path) -> str:
    """Return a page that lies in `folder` with its links as the site has them."""

    def lead(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        place = (folder / target).resolve().relative_to(ROOT)
        if place.parts[0] == "docs":
            return f"[{text}]({place.relative_to('docs').as_posix()}{anchor})"
        if str(place) in OUTSIDE:
            return f"[{text}]({OUTSIDE[str(place)]}{anchor})"
        if place.parts[0] == "lpt" and len(place.parts) == 3:
            module = ".".join(place.with_suffix("").parts)
            return f"[{text}](api/{place.parts[1]}.md#{module})"
        return text  # nowhere on the site

    return LINK.sub(lead, markdown)
