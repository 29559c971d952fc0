"""A pause in the middle of a task, in which a test may kill its process."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "E2E_PAUSES"
"""Names the folder in which pauses are announced, in the environment."""


def pause_once(name: str) -> None:
    """Announce this process and its parent in a file, and wait until that is gone; a second time go on.

    :param name: of the pause; each name pauses once.
    """
    place = Path(os.environ[FOLDER_VARIABLE]) / name
    if place.with_suffix(".seen").exists():
        return
    place.with_suffix(".seen").touch()
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps({"task": os.getpid(), "supervisor": os.getppid()}))
    draft.rename(place)
    while place.exists():
        time.sleep(0.1)


def announced(folder: Path, name: str) -> dict[str, Any] | None:
    """Give the pids of a task that pauses, or None while it does not."""
    place = folder / name
    return json.loads(place.read_text()) if place.exists() else None
