"""The documentation as a website: ``mkdocs build``, which reads ``mkdocs.yml``.

The pages in ``docs/`` and those beside it, such as the README, stay where GitHub shows them. Here
the latter join the site, and the links between the two are turned accordingly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
# The pages beside docs/, by their place in the site. The README is its first page.
BESIDE: Final = {
    "README.md": "index.md",
    "PRIVACY.md": "privacy.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "how-to-contribute.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK: Final = re.compile(r"\]\(([^)#:]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages beside ``docs/``; mkdocs calls it by this name."""
    from mkdocs.structure.files import File

    for name, place in BESIDE.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, place, content=_LINK.sub(_into_site, text)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn a page's links to those beside ``docs/``; mkdocs calls it by this name."""
    return _LINK.sub(_beside, markdown)


def _into_site(link: re.Match[str]) -> str:
    target = link[1].removeprefix("docs/")
    return f"]({BESIDE.get(target, target)}"


def _beside(link: re.Match[str]) -> str:
    target = link[1].removeprefix("../")
    return f"]({BESIDE.get(target, target)}" if target != link[1] else link[0]
