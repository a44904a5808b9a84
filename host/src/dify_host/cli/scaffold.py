"""Writes the folder of a new plugin from the templates beside this file: one tree a kind, `module` is its package."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from dify_kernel.errors import BadInput, Conflict

__all__ = ["kinds", "write_plugin"]

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".tmpl"  # keeps the tools of this repository from taking a template for a program
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def kinds() -> list[str]:
    """Return the kinds of plugin that there is a template for."""
    return sorted(path.name for path in _TEMPLATES.iterdir() if path.is_dir())


def write_plugin(kind: str, name: str, parent: Path) -> Path:
    """Write the package `dify-<kind>-<name>` into `<kind>_<name>` under a folder, and return that.

    BadInput for a name that is none, Conflict when the folder is there.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of a plugin.", hint="Use small letters, digits and single hyphens.")
    distribution = f"dify-{kind}-{name}"
    module = distribution.replace("-", "_")
    folder = parent / module.removeprefix("dify_")
    if folder.exists():
        raise Conflict(f"{folder} exists already.", hint="Choose another name or folder.")
    words = {
        "distribution": distribution,
        "module": module,
        "name": name,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "label": name.replace("-", " ").capitalize(),
        "prefix": name.replace("-", "_").upper() + "_",
    }
    tree = _TEMPLATES / kind
    for template in sorted(tree.rglob(f"*{_SUFFIX}")):
        parts = [module if part == "module" else part for part in template.relative_to(tree).parts]
        target = folder.joinpath(*parts).with_name(parts[-1].removesuffix(_SUFFIX))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(template.read_text("utf-8")).substitute(words), "utf-8")
    return folder
