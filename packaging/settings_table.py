"""Writes `docs/settings.md` and `.env.example` from the settings structs of the host and of every installed plugin.

`python packaging/settings_table.py --write` writes both; without `--write` it exits with 1 when one of them is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.net.client import OutboundSettings
from dify_host.net.mail import MailSettings
from dify_host.settings import HostSettings
from dify_kernel.registry import Backend, Registry
from dify_kernel.settings import SettingInfo, describe_settings

__all__ = ["FILES", "Section", "main", "sections"]

ROOT = Path(__file__).parents[1]
_COMMAND = "python packaging/settings_table.py --write"

#: The first setting of each group of HostSettings, in the order of the struct.
_HOST_GROUPS = {
    "dify_data": "The platform",
    "database_url": "Database",
    "redis_host": "Queue, bus and cache",
    "storage_type": "Files and vectors",
    "console_api_url": "Public addresses",
    "access_token_expire_minutes": "Accounts",
    "upload_file_size_limit": "Uploads",
    "app_max_execution_time": "Runs",
    "code_max_number": "Code nodes and their sandbox",
    "http_request_max_connect_timeout": "HTTP nodes",
    "dsl_export_encrypt_dataset_id": "Export",
    "worker_threads": "Workers",
}


class Section(msgspec.Struct, frozen=True):
    """Settings that belong together: a title, who reads them, and the settings with their defaults as text."""

    title: str
    reader: str
    settings: list[SettingInfo]


def sections() -> list[Section]:
    """Every setting once: the host's groups in order, then one section a plugin."""
    return [
        *_host_sections(),
        Section("Outbound requests", "host", _described(OutboundSettings, "")),
        Section("Knowledge bases", "host", _described(KnowledgeSettings, "")),
        Section("Mail", "host", _described(MailSettings, "")),
        *_plugin_sections(),
    ]


def _host_sections() -> Iterator[Section]:
    title, group = "", list[SettingInfo]()
    for info in _described(HostSettings, ""):
        if new := _HOST_GROUPS.get(info.variable.lower()):
            if group:
                yield Section(title, "host", group)
            title, group = new, []
        group.append(info)
    yield Section(title, "host", group)


def _plugin_sections() -> Iterator[Section]:
    """The structs named `…Settings` of each plugin's module `settings`, with the prefix that it registers them by."""
    registry = Registry()
    seen: set[str] = set()
    host = {info.variable for info in _described(HostSettings, "")}
    for offer in registry.offers():
        package = offer.module.rpartition(".")[0]
        if offer.distribution in seen or find_spec(f"{package}.settings") is None:
            continue
        seen.add(offer.distribution)
        prefixes = _prefixes(registry, offer.module)
        module = import_module(f"{package}.settings")
        structs = [getattr(module, name) for name in module.__all__ if name.endswith("Settings")]
        found = [info for struct in structs for info in _described(struct, prefixes.get(struct, ""))]
        unique = {info.variable: info for info in found if info.variable not in host}
        if unique:
            yield Section(offer.distribution, offer.distribution, list(unique.values()))


def _prefixes(registry: Registry, module: str) -> dict[Any, str]:
    items = [registry.get(offer.kind, offer.name) for offer in registry.offers() if offer.module == module]
    return {item.settings: item.prefix for item in items if isinstance(item, Backend)}


def _described(struct: type[msgspec.Struct], prefix: str) -> list[SettingInfo]:
    """The settings of a struct, defaults written as the environment takes them."""
    fields = msgspec.structs.fields(struct)
    infos = describe_settings(struct, prefix=prefix)
    return [
        msgspec.structs.replace(info, default=",".join(_default(field)), type="list")
        if info.type == "comma list"
        else msgspec.structs.replace(info, variable=f"{info.variable}_…", default="")
        if info.type == "variables"
        else info
        for field, info in zip(fields, infos, strict=True)
    ]


def _default(field: msgspec.structs.FieldInfo) -> list[str]:
    return list(field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default)


def _settings_page() -> str:
    lines = [
        "# Settings",
        "",
        f"<!-- Written by `{_COMMAND}`; a test fails when it is stale. -->",
        "",
        "Settings are environment variables, or lines of a `.env` file in the working folder; the environment wins.",
        "An empty variable counts as unset. Lists are separated by commas, booleans are `true` or `false`. A value",
        "that cannot be read stops the start with an error that names the variable. `dify doctor` checks them;",
        "secrets are never shown.",
        "",
        "[`.env.example`](../.env.example) holds all of them, commented out.",
    ]
    for section in sections():
        lines += ["", f"## {section.title}", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
        lines += [_row(info) for info in section.settings]
    return "\n".join(lines) + "\n"


def _row(info: SettingInfo) -> str:
    default = f"`{info.default}`" if info.default else ""
    meaning = _sentence(info.description).replace("|", "\\|").replace("<", "\\<")
    return f"| `{info.variable}` | {info.type} | {default} | {meaning} |"


def _env_example() -> str:
    lines = [
        f"# Every setting with its default. Written by `{_COMMAND}`; a test fails when it is stale.",
        "# Copy it to `.env` and take the `#` off the lines that you change. With none of them everything is embedded.",
    ]
    for section in sections():
        lines += ["", f"# ---- {section.title} {'-' * (90 - len(section.title))}"]
        for info in section.settings:
            meaning = _sentence(info.description)
            lines += ["", f"# {meaning}"] if meaning else [""]
            lines.append(f"#{info.variable}={info.default}" if info.type != "variables" else f"# {info.variable}")
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "…")) else f"{text}."


#: Each generated file and what makes it.
FILES = {ROOT / "docs" / "settings.md": _settings_page, ROOT / ".env.example": _env_example}


def main(args: list[str]) -> int:
    """Write the files, or tell which are stale."""
    stale = [path for path, make in FILES.items() if not path.is_file() or path.read_text("utf-8") != make()]
    for path in stale:
        if "--write" in args:
            path.write_text(FILES[path](), "utf-8")
        print(f"{path.relative_to(ROOT)} {'is written' if '--write' in args else f'is stale: {_COMMAND}'}.")  # noqa: T201
    return 1 if stale and "--write" not in args else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
