"""Names the given text files that do not end with exactly one newline; a pre-commit hook."""

from __future__ import annotations

import sys
from pathlib import Path


def ends_well(file: Path) -> bool:
    content = file.read_bytes()
    return not content or (content.endswith(b"\n") and not content.endswith(b"\n\n"))


if __name__ == "__main__":
    sys.exit(
        "\n".join(f"{name}: must end with one newline" for name in sys.argv[1:] if not ends_well(Path(name)))
        or 0
    )
