"""How much the default bundle installs: distributions, and megabytes without bytecode."""

from __future__ import annotations

from pathlib import Path

import pytest

from .figures import show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MAX_DISTRIBUTIONS, MAX_MB = 80, 200.0


def size_mb(folder: Path) -> float:
    """Megabytes of the files below, bytecode left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if "__pycache__" not in path.parts) / 1e6


def test_the_default_bundle(bundle: Path) -> None:
    (site,) = (bundle / "lib").glob("python*/site-packages")
    installed = list(site.glob("*.dist-info"))
    total = size_mb(site)
    largest = sorted(((size_mb(each), each.name) for each in site.iterdir() if each.is_dir()), reverse=True)[:8]
    show(
        "the default bundle, `pip install dify`",
        ("", "distributions", "MB"),
        [
            ("installed", str(len(installed)), f"{total:.1f}"),
            *((f"  {name}", "", f"{size:.1f}") for size, name in largest),
            ("budget", str(MAX_DISTRIBUTIONS), f"{MAX_MB:g}"),
        ],
    )
    assert len(installed) <= MAX_DISTRIBUTIONS, f"the bundle installs {len(installed)} distributions"
    assert total <= MAX_MB, f"the bundle takes {total:.1f} MB"
