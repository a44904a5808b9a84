"""Every test that the page of differences names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_that_the_page_names_exist() -> None:
    page = (ROOT / "docs" / "differences.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    sources = "\n".join(
        path.read_text("utf-8")
        for pattern in ("kernel/tests", "host/tests", "plugins/*/tests", "tests")
        for folder in ROOT.glob(pattern)
        for path in folder.rglob("test_*.py")
    )
    written = set(re.findall(r"def (test_\w+)\(", sources))
    assert named - written == set()
