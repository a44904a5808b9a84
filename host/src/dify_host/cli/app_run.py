"""Runs an app for the command line: inputs from `-i name=value`, text as it comes, events as lines with `--json`."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.events import RunFinished, StreamChunk

if TYPE_CHECKING:
    from dify_host.apps.records import AppRecord
    from dify_host.cli.output import Output
    from dify_host.identity.workspaces import Member
    from dify_host.platform import Platform
    from dify_host.runs.programs import Program
    from dify_host.workspace import Workspace

__all__ = ["pairs", "run_program"]

_PARSED = ("number", "checkbox", "json_object", "json")


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read `name=value` texts; BadInput names one without `=`."""
    found = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise BadInput(f"{option} {text!r} is not name=value.")
        found[name] = value
    return found


async def run_program(
    out: Output,
    place: tuple[Platform, Workspace, Member],
    program: Program,
    app: AppRecord,
    *,
    inputs: dict[str, str],
    query: str,
    introduction: str = "",
) -> bool:
    """Run a program to its end and print it; tells whether it succeeded. A value `@path` uploads a file."""
    from dify_host.runs.recorder import Creator
    from dify_host.runs.service import RunRequest

    platform, workspace, owner = place
    request = RunRequest(
        tenant=owner.tenant,
        app=app,
        creator=Creator(role="account", id=owner.id, name=owner.name, email=owner.email),
        user_id=owner.id,
        inputs=await _inputs(workspace, owner, program, inputs),
        query=query,
        invoke_from="debugger",
        from_source="console",
        triggered_from="debugging",
        introduction=introduction,
    )
    started = await platform.runs.start(program, request)
    said = ""
    async for batch in started.handle.follow():
        for event in batch:
            if isinstance(event, StreamChunk):
                out.write(event.text)
                said += event.text
            if out.json:
                for item in started.events.convert(event):
                    out.event(item)
    if said:
        out.write("\n")
    finished = await started.handle.wait()
    _show(out, finished, said)
    return finished.status in ("succeeded", "partial-succeeded")


def _show(out: Output, finished: RunFinished, said: str) -> None:
    summary: dict[str, Any] = {
        "status": finished.status,
        "outputs": finished.outputs,
        "elapsed_time": finished.elapsed_time,
        "total_tokens": finished.total_tokens,
        "total_steps": finished.total_steps,
    }
    if finished.error:
        summary |= {"error": finished.error, "code": finished.error_type or "run_failed", "message": finished.error}
    out.result(summary)
    if any(value not in ("", None, [], said) for value in finished.outputs.values()):
        rows = [(name, _text(value)) for name, value in finished.outputs.items()]
        out.table("Outputs", ["name", "value"], rows)
    style = "green" if finished.status == "succeeded" else "red"
    tokens = f", {finished.total_tokens} tokens" if finished.total_tokens else ""
    out.say(f"{finished.status} in {finished.elapsed_time:.2f} s, {finished.total_steps} steps{tokens}", style=style)
    if finished.error:
        out.say(finished.error, style="red")


async def _inputs(workspace: Workspace, owner: Member, program: Program, given: dict[str, str]) -> dict[str, Any]:
    kinds = {item.variable: str(item.type) for item in program.form}
    values: dict[str, Any] = {}
    for name, text in given.items():
        kind = kinds.get(name, "")
        if kind == "file":
            values[name] = await _file(workspace, owner, text)
        elif kind == "file-list":
            values[name] = [await _file(workspace, owner, part) for part in text.split(",")]
        else:
            values[name] = _parsed(name, text) if kind in _PARSED else text
    return values


def _parsed(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise BadInput(f"-i {name}={text}: {exc}.", hint="Write a number, true, false, or JSON.") from exc


async def _file(workspace: Workspace, owner: Member, text: str) -> Any:
    """Upload what `@path` names; take anything else as an address."""
    if not text.startswith("@"):
        kind = (mimetypes.guess_type(text)[0] or "").partition("/")[0]
        shown = kind if kind in ("image", "audio", "video") else "document"
        return await workspace.files.resolve({"transfer_method": "remote_url", "url": text, "type": shown})
    path = Path(text[1:])
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as exc:
        raise BadInput(f"{path} cannot be read: {exc.strerror}.") from exc
    upload = await workspace.files.upload(
        data, path.name, mimetypes.guess_type(path.name)[0], created_by_role="account", created_by=owner.id
    )
    return await workspace.files.resolve({"transfer_method": "local_file", "upload_file_id": upload.id})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
