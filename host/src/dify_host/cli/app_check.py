"""Reads the text of an app for the command line and shows what was found: problems, old forms, missing plugins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_kernel.contracts.http import HttpClient
    from dify_kernel.graph.plan import Problem

    from dify_host.apps.changes import Check
    from dify_host.apps.needs import Missing
    from dify_host.apps.old_forms.rule import Change
    from dify_host.cli.output import Output

__all__ = ["read_source", "show_changes", "show_check", "show_missing", "show_problems"]


async def read_source(source: str, http: HttpClient) -> str | bytes:
    """What a file holds, or what an address answers with; BadInput when there is neither."""
    from dify_kernel.errors import BadInput

    from dify_host.apps.fetching import fetch_text

    if source.lower().startswith(("http://", "https://")):
        return await fetch_text(http, source)
    try:
        return await asyncio.to_thread(Path(source).read_bytes)
    except OSError as exc:
        raise BadInput(f"{source} cannot be read: {exc.strerror}.") from exc


def show_problems(out: Output, problems: Sequence[Problem]) -> None:
    """Print what is wrong, as a table."""
    if problems:
        rows = [(item.severity, item.code, item.node_id, item.message) for item in problems]
        out.table(f"Problems ({len(problems)})", ["severity", "code", "node", "message"], rows)


def show_missing(out: Output, missing: Sequence[Missing]) -> None:
    """Print what nothing installed offers, as a table."""
    if missing:
        rows = [(item.kind, item.name, item.distribution, ", ".join(item.node_ids)) for item in missing]
        out.table("Not installed", ["kind", "name", "distribution, if there is one", "nodes"], rows)


def show_changes(out: Output, changes: Sequence[Change]) -> None:
    """Print which old forms were found, one line a kind."""
    for (_, message), count in Counter((item.code, item.message) for item in changes).items():
        out.say(f"  Old form: {message}{f' ({count} times)' if count > 1 else ''}", style="dim")


def show_check(out: Output, check: Check) -> None:
    """Print everything about a text."""
    show_changes(out, check.changes)
    show_problems(out, check.problems)
    show_missing(out, check.missing)
    what = f"{check.name!r} ({check.mode}, DSL {check.version})" if check.kind else "The text"
    if not check.valid:
        out.say(f"{what} cannot run.", style="red")
    elif check.missing:
        out.done(f"{what} is valid, and waits as a draft for what is not installed.")
    else:
        out.done(f"{what} is valid.")
