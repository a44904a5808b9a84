"""Where the published apps are, and what the folder's own index knows of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tests.recorded.recordings import SHARED

__all__ = ["FILES", "known"]

FOLDER = SHARED / "corpus" / "dsl"
FILES = sorted(FOLDER.glob("*.yml"))


def known(file: Path) -> dict[str, Any]:
    """What the index says of a file: where it is from, whether it is broken on purpose, what is odd about it."""
    listed = msgspec.json.decode((FOLDER / "index.json").read_bytes())["files"]
    return next((item for item in listed if item["file"] == file.name), {})
