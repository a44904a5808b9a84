"""Packages that the operator adds: code imports them, reads them, and changes nothing of them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest
from dify_host.sandbox import SandboxPool, SandboxSettings


async def _returned(folder: Path, code: str) -> object:
    folder.chmod(0o755)
    pool = SandboxPool(SandboxSettings(concurrency=1, packages=str(folder), memory_mb=512))
    report = await pool.probe()
    if report.level != "full" and "does not exist" not in "".join(report.reasons):
        pytest.skip(f"no code sandbox on this machine: {'; '.join(report.reasons)}")
    try:
        result = await pool.run("python3", code, b"{}", timeout=30)
    finally:
        await pool.close()
    return json.loads(result.result) if result.result is not None else f"{result.error_type}: {result.error}"


async def test_code_imports_what_the_operator_installed(tmp_path: Path) -> None:
    package = tmp_path / "greetings"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\nword = (Path(__file__).parent / 'word').read_text()"
    )
    (package / "word").write_text("hello")
    assert await _returned(tmp_path, "import greetings\ndef main():\n    return greetings.word\n") == "hello"


async def test_a_compiled_package_is_imported(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("msgspec")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, tmp_path / "msgspec")
    code = "import msgspec\ndef main():\n    return msgspec.json.decode(msgspec.json.encode([1, 'two']))\n"
    assert await _returned(tmp_path, code) == [1, "two"]


async def test_the_folder_is_read_only_and_alone(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "there.py").write_text("")
    (tmp_path / "secret").write_text("")
    code = f"""
import os
def main():
    try:
        open("/packages/new.py", "w")
    except OSError as exc:
        return [type(exc).__name__, os.listdir("/packages"), os.path.exists({str(tmp_path / "secret")!r})]
"""
    name, listing, seen = await _returned(tmp_path / "packages", code)  # type: ignore[misc]
    assert (name, listing, seen) == ("OSError", ["there.py"], False)


async def test_packages_of_the_platform_stay_hidden(tmp_path: Path) -> None:
    answer = await _returned(tmp_path, "import msgspec\ndef main():\n    return 1\n")
    assert "ModuleNotFoundError" in str(answer)
    assert "what the operator installed" in str(answer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its runs another user")
async def test_a_folder_that_nobody_may_read_refuses_code(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    pool = SandboxPool(SandboxSettings(packages=str(tmp_path)))
    report = await pool.probe()
    await pool.close()
    assert report.level == "none"
    assert "chmod -R a+rX" in report.reasons[0]


async def test_a_folder_that_is_not_there_refuses_code(tmp_path: Path) -> None:
    pool = SandboxPool(SandboxSettings(packages=str(tmp_path / "nowhere")))
    report = await pool.probe()
    await pool.close()
    assert report.level == "none"
    assert "SANDBOX_PACKAGES" in report.reasons[0]
