"""How much the default bundle installs: distributions of others and of ours, and megabytes without bytecode."""

from __future__ import annotations

from pathlib import Path

import pytest

from .figures import show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

#: Of others: each family of nodes is a distribution of its own here, and costs nobody anything.
MAX_DISTRIBUTIONS, MAX_MB = 64, 200.0


def size_mb(folder: Path) -> float:
    """Megabytes of the files below, bytecode left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if "__pycache__" not in path.parts) / 1e6


def test_the_default_bundle(bundle: Path) -> None:
    (site,) = (bundle / "lib").glob("python*/site-packages")
    installed = list(site.glob("*.dist-info"))
    others = [each for each in installed if not each.name.startswith("dify")]
    total = size_mb(site)
    largest = sorted(((size_mb(each), each.name) for each in site.iterdir() if each.is_dir()), reverse=True)[:8]
    show(
        "the default bundle, `pip install dify`",
        ("", "distributions", "MB"),
        [
            ("installed", str(len(installed)), f"{total:.1f}"),
            ("  of others", str(len(others)), ""),
            *((f"  {name}", "", f"{size:.1f}") for size, name in largest),
            ("budget", str(MAX_DISTRIBUTIONS), f"{MAX_MB:g}"),
        ],
    )
    assert len(others) <= MAX_DISTRIBUTIONS, f"the bundle installs {len(others)} distributions of others"
    assert total <= MAX_MB, f"the bundle takes {total:.1f} MB"
