"""`dify kb`: knowledge bases made, filled and searched from the command line."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from dify_kernel.errors import BadInput, DifyError, NotFound

from dify_host.cli.call import Call, takes_call
from dify_host.cli.knowledge_eval import evaluate, read_setting
from dify_host.cli.knowledge_files import export, import_base
from dify_host.cli.knowledge_move import move

if TYPE_CHECKING:
    from dify_host.cli.output import Output
    from dify_host.identity.workspaces import Member
    from dify_host.knowledge.datasets import DatasetDetail
    from dify_host.platform import Platform
    from dify_host.workspace import Workspace

__all__ = ["find_base", "kb"]

_LOOK_SECONDS = 0.2
_DONE = ("completed", "error")


class IndexingFailed(DifyError):
    """A document could not be indexed."""

    code = "indexing_failed"


@click.group()
def kb() -> None:
    """Make, fill and search knowledge bases."""


@kb.command()
@click.argument("name")
@click.option("--description", default="")
@click.option("--economy", is_flag=True, help="Find by words alone; needs no embedding model.")
@click.option("--model", metavar="PROVIDER/MODEL", help="Embedding model; else the default one.")
@takes_call
def create(call: Call, name: str, description: str, economy: bool, model: str | None) -> None:
    """Make a knowledge base."""
    call.run(_create(call, name, description, economy, model))


async def _create(call: Call, name: str, description: str, economy: bool, model: str | None) -> None:
    from dify_host.knowledge.datasets import NewDataset

    provider, _, model_name = (model or "").partition("/")
    if model and not model_name:
        raise BadInput(f"{model!r} is not PROVIDER/MODEL.")
    given = {
        "name": name,
        "description": description,
        "indexing_technique": "economy" if economy else "high_quality",
        "embedding_model": model_name or None,
        "embedding_model_provider": provider or None,
    }
    try:
        new = msgspec.convert(given, NewDataset)
    except msgspec.ValidationError as exc:
        raise BadInput(f"{exc}.", hint="A name has 1 to 40 characters, a description 400 at most.") from exc
    async with call.workspace() as (_platform, workspace, owner):
        made = await workspace.datasets.create(new, owner.id)
    call.out.done(f"Knowledge base {made.name} is {made.id}.")
    call.out.result({"id": made.id, "name": made.name, "indexing_technique": made.indexing_technique})


@kb.command("list")
@takes_call
def list_bases(call: Call) -> None:
    """List knowledge bases, newest first."""
    call.run(_list(call))


async def _list(call: Call) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        found = await workspace.datasets.find(limit=100)
    rows = [(item.id, item.name, item.indexing_technique, item.document_count, item.word_count) for item in found.data]
    call.out.table(f"Knowledge bases ({found.total})", ["id", "name", "technique", "documents", "words"], rows)
    names = ("id", "name", "indexing_technique", "document_count", "word_count")
    data = [{name: getattr(item, name) for name in names} for item in found.data]
    call.out.result({"data": data, "total": found.total})


@kb.command()
@click.argument("base", metavar="NAME|ID")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@takes_call
def add(call: Call, base: str, files: tuple[Path, ...]) -> None:
    """Add files; a running worker indexes them, or this process when there is none."""
    call.run(_add(call, base, files))


async def _add(call: Call, base: str, files: tuple[Path, ...]) -> None:
    from dify_host.jobs.broker import workers_answer
    from dify_host.jobs.relay import announce_jobs

    async with call.workspace() as (platform, workspace, owner):
        dataset = await find_base(workspace, base)
        for path in files:  # before anything is added
            platform.indexer.extractor.admit(path.name)
        has_worker = await workers_answer(platform.redis)
        if has_worker:
            announce_jobs(platform.db, platform.redis)
        batches = [await upload(workspace, owner, dataset, path) for path in files]
        states = [await follow(call.out, platform, workspace, dataset, item, here=not has_worker) for item in batches]
    failed = [item for item in states if item["indexing_status"] == "error"]
    if failed:
        reasons = "; ".join(f"{item['name']}: {item['error']}" for item in failed)
        raise IndexingFailed(f"{len(failed)} of {len(states)} documents failed: {reasons}")
    call.out.done(f"{len(states)} documents are in {dataset.name}.")
    call.out.result({"dataset_id": dataset.id, "documents": states})


async def upload(workspace: Workspace, owner: Member, dataset: DatasetDetail, path: Path) -> tuple[str, str, str]:
    """Store a file and its document; returns the document's id, its batch and its name."""
    from dify_host.knowledge.documents import DocumentOptions
    from dify_host.knowledge.rules import ProcessRule

    media = mimetypes.guess_type(path.name)[0]
    data = await asyncio.to_thread(path.read_bytes)
    upload = await workspace.files.upload(data, path.name, media, created_by_role="account", created_by=owner.id)
    technique: Any = dataset.indexing_technique or "high_quality"
    options = DocumentOptions(indexing_technique=technique, process_rule=ProcessRule(mode="automatic"))
    made = await workspace.documents.create_by_file(dataset.id, upload.id, options, owner.id)
    return made.document.id, made.batch, made.document.name


async def follow(
    out: Output,
    platform: Platform,
    workspace: Workspace,
    dataset: DatasetDetail,
    document: tuple[str, str, str],
    *,
    here: bool,
) -> dict[str, Any]:
    """Follow one document until it is indexed, by a worker or `here`, with a bar for people."""
    from rich.progress import BarColumn, Progress, TextColumn

    document_id, batch, name = document
    work = asyncio.create_task(platform.indexer.run(document_id)) if here else None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=out.console(), disable=not out.live, transient=True) as progress:
        bar = progress.add_task(name, total=None, state="waiting")
        while True:
            ended = work is None or work.done()
            (state,) = await workspace.documents.indexing_status(dataset.id, batch)
            total = state.total_segments or None
            progress.update(bar, total=total, completed=state.completed_segments, state=state.indexing_status)
            if state.indexing_status in _DONE:
                break
            if work is not None and ended:
                await work  # raises what stopped it
                raise IndexingFailed(f"{name} stopped in the state {state.indexing_status}.")
            await asyncio.sleep(_LOOK_SECONDS)
    if work is not None:
        await work
    return {
        "id": document_id,
        "name": name,
        "indexing_status": state.indexing_status,
        "segments": state.total_segments,
        "error": state.error,
    }


@kb.command()
@click.argument("base", metavar="NAME|ID")
@click.argument("query")
@click.option("--top-k", type=click.IntRange(1, 100), default=4, show_default=True)
@click.option(
    "--setting",
    default="own",
    show_default=True,
    help="own, semantic, full-text, hybrid, weights, rerank:PROVIDER/MODEL, or a retrieval_model as JSON.",
)
@takes_call
def search(call: Call, base: str, query: str, top_k: int, setting: str) -> None:
    """Search a knowledge base, as it is set up or in another way."""
    call.run(_search(call, base, query, top_k, setting))


async def _search(call: Call, base: str, query: str, top_k: int, setting: str) -> None:
    from dify_host.knowledge.retrieval import Asker

    chosen = read_setting(setting, top_k)
    async with call.workspace() as (_platform, workspace, owner):
        dataset = await find_base(workspace, base)
        model = chosen or {**dataset.retrieval_model_dict, "top_k": top_k}
        hits = await workspace.retrieval.retrieve(dataset.id, query, Asker(user_id=owner.id), model)
    rows = [(f"{hit.score:.3f}", hit.document.name, hit.segment.content) for hit in hits]
    call.out.table(f"{len(hits)} hits", ["score", "document", "text"], rows)
    data = [
        {
            "score": hit.score,
            "document_id": hit.document.id,
            "document_name": hit.document.name,
            "segment_id": hit.segment.id,
            "content": hit.segment.content,
        }
        for hit in hits
    ]
    call.out.result({"dataset_id": dataset.id, "data": data})


@kb.command()
@click.argument("base", metavar="NAME|ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@takes_call
def delete(call: Call, base: str, yes: bool) -> None:
    """Delete a knowledge base with all its documents."""
    if not yes and not call.out.json:
        click.confirm(f"Delete {base} with all its documents?", abort=True)
    call.run(_delete(call, base))


async def _delete(call: Call, base: str) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        dataset = await find_base(workspace, base)
        await workspace.datasets.delete(dataset.id)
    call.out.done(f"{dataset.name} is deleted.")
    call.out.result({"id": dataset.id, "deleted": True})


async def find_base(workspace: Workspace, base: str) -> DatasetDetail:
    """Return the knowledge base of that name, else of that id."""
    page, more = 1, True
    while more:
        found = await workspace.datasets.find(keyword=base, page=page, limit=100)
        for item in found.data:
            if item.name == base:
                return item
        page, more = page + 1, found.has_more
    try:
        return await workspace.datasets.get(base)
    except DifyError as exc:
        raise NotFound(f"There is no knowledge base {base!r}.", hint="`dify kb list` shows them.") from exc


kb.add_command(evaluate)
kb.add_command(export)
kb.add_command(import_base)
kb.add_command(move)
