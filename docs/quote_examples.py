"""Keep the snippets of the documentation equal to the regions of the example DAGs that they quote.

A fenced block that follows ``<!-- example: file#region -->`` holds what stands in that file between
``# [START region]`` and ``# [END region]``. Run this file to write the blocks anew; a test compares them.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(<!-- example: (?P<file>[\w./]+)#(?P<region>\w+) -->\n```python\n)(?P<code>.*?)(```)", re.S
)


def region(file: str, name: str) -> str:
    """Give a region of an example, without its indentation."""
    source = (ROOT / file).read_text()
    found = re.search(rf"^ *# \[START {name}\]\n(.*?)^ *# \[END {name}\]$", source, re.S | re.M)
    if found is None:
        raise LookupError(f"{file} has no region {name}")
    return textwrap.dedent(found[1]).rstrip("\n") + "\n"


def quoted(page: str) -> str:
    """Give a page with each of its snippets written anew."""
    return BLOCK.sub(lambda block: block[1] + region(block["file"], block["region"]) + block[5], page)


def pages() -> list[Path]:
    """Give the pages that may quote."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


if __name__ == "__main__":
    for path in pages():
        path.write_text(quoted(path.read_text()))
