"""Writes the folder of a new plugin from the templates beside this file."""

from __future__ import annotations

import re
from pathlib import Path

from dify_kernel.contracts import CONTRACT_VERSIONS
from dify_kernel.errors import BadInput, Conflict

__all__ = ["kinds", "write_plugin"]

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TESTS = "test_"
_ROOT = ("pyproject.toml", "README.md")


def kinds() -> list[str]:
    """Return the kinds of plugin that there is a template for."""
    return sorted(path.name for path in _TEMPLATES.iterdir() if path.is_dir() and path.name != "every")


def write_plugin(kind: str, name: str, parent: Path) -> Path:
    """Write `dify-<kind>-<name>` under a folder and return it; Conflict when it is there, BadInput for a bad name."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of a plugin.", hint="Use small letters, digits and single hyphens.")
    distribution = f"dify-{kind}-{name}"
    folder = parent / distribution
    if folder.exists():
        raise Conflict(f"{folder} exists already.", hint="Choose another name or folder.")
    words = {
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "kind": kind,
        "name": name,
        "class": "".join(part.capitalize() for part in name.split("-")),
        "contract": str(CONTRACT_VERSIONS[kind]),
        "sentence": f"The {kind} plugin {name}.",
    }
    for template in sorted([*(_TEMPLATES / "every").iterdir(), *(_TEMPLATES / kind).iterdir()]):
        target = _target(folder, words["module"], template.name.removesuffix(".tmpl"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(template.read_text("utf-8"), words), "utf-8")
    (folder / "src" / words["module"] / "py.typed").touch()
    return folder


def _target(folder: Path, module: str, name: str) -> Path:
    if name in _ROOT:
        return folder / name
    if name.startswith(_TESTS):
        return folder / "tests" / name
    return folder / "src" / module / ("__init__.py" if name == "init.py" else name)


def _filled(text: str, words: dict[str, str]) -> str:
    for key, value in words.items():
        text = text.replace("{{" + key + "}}", value)
    return text
