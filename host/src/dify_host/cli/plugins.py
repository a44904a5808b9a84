"""`dify plugins`: what is installed, what each plugin can be told, and the start of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dify_kernel.errors import PluginError, PluginNotFound
from dify_kernel.proof import proofs_of, summary

from dify_host.cli.call import Call, takes_call
from dify_host.cli.scaffold import KINDS, folder_name, next_command, scaffold

if TYPE_CHECKING:
    import msgspec
    from dify_kernel.registry import PluginReport, Registry

__all__ = ["plugin", "plugins"]


@click.group(invoke_without_command=True)
@takes_call
@click.pass_context
def plugins(context: click.Context, call: Call) -> None:
    """List plugins, show their settings, start a new one."""
    if context.invoked_subcommand is None:
        _list(call)


def _list(call: Call) -> None:
    reports = _registry(call).reports()
    rows = []
    for report in reports:
        offer = report.offer
        proven = summary(proofs_of(offer.module))
        rows.append((offer.kind, offer.name, offer.distribution, offer.version, _state(report), proven))
    columns = ["kind", "name", "distribution", "version", "state", "proven"]
    call.out.table(f"Plugins ({len(rows)})", columns, rows)
    call.out.result({"plugins": [_as_json(report) for report in reports]})


@plugins.command()
@click.argument("name")
@takes_call
def show(call: Call, name: str) -> None:
    """Show what a plugin of this NAME (or KIND:NAME) was proven against and can be told: settings, credentials."""
    import msgspec

    registry = _registry(call)
    kind, _, wanted = name.rpartition(":")
    offers = [item for item in registry.offers(kind or None) if item.name == wanted]
    if not offers:
        raise PluginNotFound(f"No installed plugin offers {name!r}.", hint="`dify plugins` lists them.")
    shown = []
    for offer in offers:
        item = registry.get(offer.kind, offer.name)
        call.out.say(f"{offer.kind}:{offer.name}  {offer.distribution} {offer.version}", style="bold")
        proofs = proofs_of(offer.module)
        if proofs:
            counted = ["engine", "class", "passed", "skipped", "gaps", "failed"]
            proven = [(item.engine, item.kind, item.passed, item.skipped, item.gaps, item.failed) for item in proofs]
            call.out.table("proven", counted, proven)
        parts = {title: _describe(call, title, struct, prefix) for title, struct, prefix in _structs(offer.kind, item)}
        of = {"kind": offer.kind, "name": offer.name, "distribution": offer.distribution}
        shown.append({**of, "proven": [msgspec.structs.asdict(item) for item in proofs], **parts})
    call.out.result({"plugins": shown})


@click.group()
def plugin() -> None:
    """Start a new plugin."""


@plugin.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Parent folder.")
@takes_call
def new(call: Call, kind: str, name: str, into: Path) -> None:
    """Start a plugin: a folder with a package that installs, loads and passes the tests of its contract."""
    files = scaffold(kind, name, into)
    folder = into / folder_name(kind, name)
    call.out.done(f"{folder} is written. Next: {next_command(folder)}")
    call.out.result({"folder": str(folder), "files": [str(path) for path in files], "kind": kind, "name": name})


plugins.add_command(new)


def _registry(call: Call) -> Registry:
    from dify_kernel.registry import Registry

    from dify_host.settings import HostSettings

    return Registry(disabled=HostSettings.read(call.env).disabled_plugins)


def _state(report: PluginReport) -> Any:
    from rich.text import Text

    if report.state == "broken":
        return Text(f"broken: {report.reason}", style="red")
    return Text(f"contract {report.contract}" if report.contract else report.state)


def _as_json(report: PluginReport) -> dict[str, Any]:
    import msgspec

    flat = msgspec.structs.asdict(report.offer)
    state = {"state": report.state, "contract": report.contract, "reason": report.reason, "hooks": report.hooks}
    return {**flat, **state, "proven": [msgspec.structs.asdict(item) for item in proofs_of(report.offer.module)]}


def _structs(kind: str, item: Any) -> list[tuple[str, type[msgspec.Struct], str]]:
    """Return what a plugin of a kind is told: a title, the struct, and the prefix of its variables."""
    if kind in ("vdb", "storage"):
        return [("settings", item.settings, item.prefix)]
    if kind in ("providers", "tools"):
        return [("credentials", item.Credentials, "")]
    if kind == "nodes":
        return [(f"config of version {version}", node.Config, "") for version, node in sorted(item.items())]
    struct = getattr(item, "Settings", None) or getattr(item, "Config", None)
    return [("settings", struct, "")] if struct is not None else []


def _describe(call: Call, title: str, struct: type[msgspec.Struct], prefix: str) -> Any:
    import msgspec
    from dify_kernel.settings import describe_settings

    if title == "settings":
        infos = describe_settings(struct, prefix=prefix)
        columns = ["variable", "type", "default", "required", "meaning"]
        rows = [(item.variable, item.type, item.default, item.required, item.description) for item in infos]
        call.out.table(title, columns, rows)
        return [msgspec.structs.asdict(item) for item in infos]
    if title == "credentials":
        from dify_kernel.forms import form_fields

        fields = form_fields(struct)
        columns = ["name", "type", "default", "required", "meaning"]
        forms = [(item.variable, item.type, item.default, item.required, item.help or item.label) for item in fields]
        call.out.table(title, columns, forms)
        return [msgspec.structs.asdict(item) for item in fields]
    try:
        schema = msgspec.json.schema(struct)
    except TypeError as exc:
        raise PluginError(f"{struct.__name__} has no JSON schema: {exc}.", hint="Report it to its author.") from exc
    root = schema.get("$defs", {}).get(struct.__name__, schema)
    call.out.table(
        title,
        ["field", "type", "default", "required", "meaning"],
        [_field(name, value, name in root.get("required", ())) for name, value in root.get("properties", {}).items()],
    )
    return schema


def _field(name: str, value: dict[str, Any], required: bool) -> tuple[Any, ...]:
    kinds = [_kind(part) for part in value.get("anyOf", [value])]
    return name, " | ".join(kinds), value.get("default"), required, value.get("description", "")


def _kind(part: dict[str, Any]) -> str:
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if "enum" in part:
        return " | ".join(str(option) for option in part["enum"])
    if part.get("type") == "array":
        return f"list of {_kind(part.get('items', {}))}"
    return str(part.get("type", "any"))
