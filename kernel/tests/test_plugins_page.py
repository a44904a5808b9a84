"""The page about writing plugins: the code of each section is a file whose suites pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from dify_kernel.contracts import GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def sections() -> dict[str, str]:
    """Title -> its Python blocks, one after the other."""
    parts = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {title: "\n\n".join(_BLOCK.findall(text)) for title, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.skipif(not PAGE.is_file(), reason="the kernel is tested outside its workspace")
def test_there_is_a_section_for_each_kind_of_plugin() -> None:
    assert len(sections()) == len(GROUPS)
    assert all(source for source in sections().values())


@pytest.mark.skipif(not PAGE.is_file(), reason="the kernel is tested outside its workspace")
def test_the_code_of_every_section_passes_its_suite(tmp_path: Path) -> None:
    for title, source in sections().items():
        (tmp_path / f"test_{title.replace(' ', '_').lower()}.py").write_text(source, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
