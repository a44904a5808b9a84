"""Writes a new plugin's package from the templates of its kind; the package's own tests pass as it is written.

The templates lie beside this file, one tree a kind: `string.Template` texts with the suffix `.tmpl`, which keeps the
tools of this repository from taking one for a program. A folder named `module` stands for the package.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import distribution
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec
from dify_kernel.contracts import GROUPS
from dify_kernel.errors import BadInput, Conflict

__all__ = ["KINDS", "folder_name", "next_command", "scaffold"]

#: The kinds of plugins that can be written.
KINDS: Final = tuple(GROUPS)
_TEMPLATES: Final = Path(__file__).parent / "templates"
_SUFFIX: Final = ".tmpl"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST: Final = 40


def scaffold(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the package `dify-<kind>-<name>` into `<kind>_<name>` under a folder; return its files, sorted.

    The name is the public one, such as `my-store`. BadInput for an unknown kind or a name that cannot be one, Conflict
    when there is something at that place; nothing is written then.
    """
    if kind not in KINDS:
        raise BadInput(f"There is no kind of plugin {kind!r}.", hint=f"The kinds are {', '.join(KINDS)}.", field="kind")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise BadInput(
            f"{name!r} cannot be the name of a plugin.",
            hint=f"Use up to {_LONGEST} small letters, digits and single hyphens, a letter first.",
            field="name",
        )
    target = folder / folder_name(kind, name)
    if target.exists():
        raise Conflict(f"{target} exists already.", hint="Choose another name or folder.", field="folder")
    words = _words(kind, name)
    tree = _TEMPLATES / kind
    written = []
    for template in tree.rglob(f"*{_SUFFIX}"):
        parts = [words["module"] if part == "module" else part for part in template.relative_to(tree).parts]
        path = target.joinpath(*parts).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.read_text("utf-8")).substitute(words), "utf-8")
        written.append(path)
    return sorted(written)


def folder_name(kind: str, name: str) -> str:
    """The folder of a plugin's package: `vdb_my_store`."""
    return f"{kind}_{name.replace('-', '_')}"


def next_command(folder: Path) -> str:
    """What to type next, in a virtual environment: installs the new package and runs its tests."""
    return f"cd {shlex.quote(str(folder))} && pip install {_kernel()}-e '.[testing]' && pytest"


def _kernel() -> str:
    """The kernel's folder, for pip, where it runs from a checkout: pip may find it nowhere else."""
    said = distribution("dify-kernel").read_text("direct_url.json")
    origin = msgspec.json.decode(said, type=_Origin) if said else _Origin()
    editable = origin.dir_info.get("editable") is True
    return f"-e {shlex.quote(url2pathname(urlsplit(origin.url).path))} " if editable else ""


class _Origin(msgspec.Struct):
    """From where a distribution was installed; its installer wrote it."""

    url: str = ""
    dir_info: dict[str, bool] = {}


def _words(kind: str, name: str) -> dict[str, str]:
    """What the placeholders of the templates stand for."""
    parts = name.split("-")
    return {
        "name": name,
        "label": " ".join(parts).capitalize(),
        "class_name": "".join(part.capitalize() for part in parts),
        "prefix": f"{'_'.join(parts).upper()}_",
        "module": f"dify_{folder_name(kind, name)}",
        "distribution": f"dify-{kind}-{name}",
    }
