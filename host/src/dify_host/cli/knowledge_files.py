"""`dify kb export` and `dify kb import`: a knowledge base as one file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from dify_kernel.errors import BadInput

from dify_host.cli.call import Call, takes_call

__all__ = ["export", "import_base"]


@click.command()
@click.argument("base", metavar="NAME|ID")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-files", is_flag=True, help="Leave out original files and attachments.")
@takes_call
def export(call: Call, base: str, file: Path, without_files: bool) -> None:
    """Write a knowledge base into a file: settings, documents, segments, vectors, files."""
    call.run(_export(call, base, file, without_files))


async def _export(call: Call, base: str, file: Path, without_files: bool) -> None:
    from dify_host.cli.knowledge import find_base
    from dify_host.knowledge.portable_write import Exporter

    async with call.workspace() as (platform, workspace, _owner):
        dataset = await find_base(workspace, base)
        exporter = Exporter(platform.db, workspace.tenant, platform.storage, platform.vectors)
        with _bar(call, "documents") as progress:
            counts = await exporter.run(dataset.id, file, files=not without_files, progress=progress)
    size = (await asyncio.to_thread(file.stat)).st_size
    call.out.done(f"{dataset.name} is in {file}: {_said(counts)}, {size / 1e6:.1f} MB.")
    call.out.result({"id": dataset.id, "name": dataset.name, "file": str(file), "size": size, **counts})


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the knowledge base; else that in the file.")
@click.option("--model", metavar="PROVIDER/MODEL", help="Embedding model; else that of the file, else the default one.")
@takes_call
def import_base(call: Call, file: Path, name: str | None, model: str | None) -> None:
    """Make a knowledge base of an exported file.

    Its vectors are used when the embedding model is that of the file; another model embeds the texts again. An import
    that was cut off is begun anew by the same command, and nothing of it is seen before.
    """
    call.run(_import(call, file, name, model))


async def _import(call: Call, file: Path, name: str | None, model: str | None) -> None:
    from dify_kernel.contracts.model import ModelType

    from dify_host.jobs.broker import workers_answer
    from dify_host.jobs.relay import announce_jobs
    from dify_host.knowledge.portable import Importer

    provider, _, model_name = (model or "").partition("/")
    if model and not model_name:
        raise BadInput(f"{model!r} is not PROVIDER/MODEL.")
    if name is not None and not 1 <= len(name) <= 40:
        raise BadInput("A name has 1 to 40 characters.", field="name")
    async with call.workspace() as (platform, workspace, owner):
        has_worker = await workers_answer(platform.redis)
        if has_worker:
            announce_jobs(platform.db, platform.redis)
        found = await workspace.providers.default(ModelType.TEXT_EMBEDDING)
        importer = Importer(
            platform.db,
            workspace.tenant,
            platform.storage,
            platform.vectors,
            workspace.models,
            settings=platform.knowledge_settings,
            default=(found.provider, found.model) if found else None,
        )
        with _bar(call, "parts") as progress:
            made = await importer.run(
                file, owner.id, name=name, model=(provider, model_name) if model else None, progress=progress
            )
        if made.to_index and not has_worker:
            while await platform.turns.run_here(workspace.tenant.id):
                pass
    call.out.done(f"Knowledge base {made.name} is {made.id}: {_said(made.counts)}.")
    if made.to_index:
        call.out.say(f"{made.to_index} documents are indexed " + ("by the worker." if has_worker else "again."))
    call.out.result(msgspec.structs.asdict(made))


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number) or "no documents"


@contextmanager
def _bar(call: Call, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for people that is told how many of how many are done."""
    from rich.progress import Progress

    with Progress(console=call.out.console(), disable=not call.out.live, transient=True) as progress:
        bar = progress.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        yield tell
