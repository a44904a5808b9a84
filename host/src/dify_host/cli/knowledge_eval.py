"""`dify kb eval`: how well a knowledge base finds what a labelled set asks for, by one setting or several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.settings import Secret

from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.cli.output import Output
    from dify_host.identity.workspaces import Member
    from dify_host.knowledge.evaluation import Comparison, Scores
    from dify_host.knowledge.labelled import LabelledSet
    from dify_host.platform import Platform
    from dify_host.workspace import Workspace

__all__ = ["MEASURES", "evaluate", "read_setting"]

MEASURES = {"ndcg": "nDCG@{k}", "recall": "recall@{k}", "reciprocal_rank": "MRR@{k}"}
_METHODS: dict[str, dict[str, Any]] = {
    "semantic": {"search_method": "semantic_search"},
    "full-text": {"search_method": "full_text_search"},
    "hybrid": {"search_method": "hybrid_search"},
    "weights": {"search_method": "hybrid_search", "reranking_enable": True, "reranking_mode": "weighted_score"},
}
#: One segment a passage, so that nothing but the ranking is measured.
_ONE_SEGMENT = {"pre_processing_rules": [], "segmentation": {"separator": "\u001e", "max_tokens": 4000}}
_AT_ONCE = 8
_KEY_VARIABLE = "DIFY_API_KEY"


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A knowledge base that is scored; `ask` gives the documents' names that each setting finds, best first."""

    id: str
    name: str
    ask: Callable[[str, Sequence[dict[str, Any] | None]], Awaitable[list[list[str]]]]


@click.command("eval")
@click.argument("base", metavar="NAME|ID")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--make", is_flag=True, help="Make the knowledge base of that name from the passages first.")
@click.option("--model", metavar="PROVIDER/MODEL", help="Embedding model for --make; else the default one.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    help="own, semantic, full-text, hybrid, weights, rerank:PROVIDER/MODEL, or a retrieval_model as JSON. Several are "
    "compared with the first. [semantic and hybrid]",
)
@click.option(
    "--grades", type=click.Choice(["gain", "rank"]), default="gain", help="gain: higher is better; rank: 1 is."
)
@click.option("--top-k", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Ask only the first questions.")
@click.option("--server", metavar="URL", help="Score a knowledge base of this server, over its Service API.")
@click.option(
    "--api-key",
    envvar=_KEY_VARIABLE,
    show_envvar=True,
    help="Its key for knowledge (dataset-…); the variable keeps it out of the list of processes.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write an SVG of the comparison there.")
@takes_call
def evaluate(
    call: Call,
    base: str,
    folder: Path,
    make: bool,
    model: str | None,
    server: str | None,
    api_key: str | None,
    **given: Any,
) -> None:
    """Score a knowledge base with the questions and judgements of FOLDER.

    It holds passages.jsonl, queries.jsonl and qrels.tsv. A passage is known by its document, whose name is its id, or
    that with .txt or .md. With --server the knowledge base is one of another server that speaks the Service API.
    """
    if server is not None and make:
        raise click.UsageError("--make works here only: fill the knowledge base of the other server there.")
    if server is not None and not api_key:
        raise click.UsageError(f"--server needs a key for knowledge: set {_KEY_VARIABLE}, or give --api-key.")
    key = Secret(api_key or "")
    call.run(_evaluate(call, base, folder, (make, model), None if server is None else (server, key), **given))


def read_setting(text: str, top_k: int) -> dict[str, Any] | None:
    """The retrieval_model that a setting names, with this top_k; None for the knowledge base's own."""
    if text == "own":
        return None
    kind, _, rest = text.partition(":")
    if text.startswith("{"):
        try:
            found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as exc:
            raise BadInput(f"The setting {text!r} is no JSON object: {exc}.") from exc
    elif kind == "rerank" and "/" in rest:
        provider, _, name = rest.partition("/")
        chosen = {"reranking_provider_name": provider, "reranking_model_name": name}
        found = {**_METHODS["hybrid"], "reranking_enable": True, "reranking_mode": "reranking_model"}
        found["reranking_model"] = chosen
    elif text in _METHODS:
        found = dict(_METHODS[text])
    else:
        raise BadInput(f"The setting {text!r} is unknown.", hint=f"Use own, {', '.join(_METHODS)} or a JSON object.")
    return {**found, "top_k": top_k}


async def _evaluate(
    call: Call,
    base: str,
    folder: Path,
    making: tuple[bool, str | None],
    server: tuple[str, Secret] | None,
    *,
    plot: Path | None,
    settings: tuple[str, ...],
    grades: Any,
    top_k: int,
    limit: int | None,
) -> None:
    from dify_host.knowledge.labelled import read_labelled

    labelled = await asyncio.to_thread(read_labelled, folder, grades=grades)
    left_out = 0
    if server is not None:
        labelled, left_out = _short(labelled)
    if limit:
        labelled = msgspec.structs.replace(labelled, questions=labelled.questions[:limit])
    names = settings or ("semantic", "hybrid")
    wanted = [read_setting(name, top_k) for name in names]
    opened = _here(call, base, *making, labelled) if server is None else _there(*server, base)
    async with opened as asked:
        scores = await _ask(call.out, asked, labelled, wanted, top_k)
    _report(call.out, asked, names, scores, top_k, left_out)
    if plot is not None:
        from dify_host.cli.eval_plot import draw

        svg = draw(f"{asked.name}: {len(labelled.questions)} questions", names, scores, top_k)
        await asyncio.to_thread(plot.write_text, svg, encoding="utf-8")
        call.out.done(f"The comparison is drawn in {plot}.")


def _short(labelled: LabelledSet) -> tuple[LabelledSet, int]:
    """The set without the questions that are too long for the API, and how many those are."""
    from dify_host.cli.knowledge_remote import MAX_QUERY

    kept = [question for question in labelled.questions if len(question.text) <= MAX_QUERY]
    if not kept:
        raise BadInput(f"Every question is longer than the {MAX_QUERY} characters that the API takes.")
    return msgspec.structs.replace(labelled, questions=kept), len(labelled.questions) - len(kept)


@asynccontextmanager
async def _here(call: Call, base: str, make: bool, model: str | None, labelled: LabelledSet) -> AsyncIterator[_Asked]:
    """A knowledge base of this installation; with `make` it is made first."""
    from dify_host.cli.knowledge import find_base

    async with call.workspace() as (platform, workspace, owner):
        if make:
            await _make(call.out, platform, workspace, owner, base, model, labelled)
        dataset = await find_base(workspace, base)

        async def ask(query: str, settings: Sequence[dict[str, Any] | None]) -> list[list[str]]:
            answers = await workspace.retrieval.compare(dataset.id, query, settings)
            return [[item.document.name for item in found] for found in answers]

        yield _Asked(id=dataset.id, name=dataset.name, ask=ask)


@asynccontextmanager
async def _there(server: str, key: Secret, base: str) -> AsyncIterator[_Asked]:
    """A knowledge base of another server."""
    from dify_host.cli.knowledge_remote import remote_base

    async with remote_base(server, key.reveal(), base) as remote:
        yield _Asked(id=remote.id, name=remote.name, ask=remote.ask)


async def _make(
    out: Output,
    platform: Platform,
    workspace: Workspace,
    owner: Member,
    name: str,
    model: str | None,
    labelled: LabelledSet,
) -> None:
    """Make the knowledge base with a document a passage, and index it in this process."""
    from dify_host.knowledge.datasets import NewDataset
    from dify_host.knowledge.documents import DocumentOptions, DocumentText
    from dify_host.knowledge.rules import read_rule

    provider, _, model_name = (model or "").partition("/")
    new = NewDataset(
        name=name,
        indexing_technique="high_quality",
        embedding_model=model_name or None,
        embedding_model_provider=provider or None,
    )
    made = await workspace.datasets.create(new, owner.id)
    options = DocumentOptions(indexing_technique="high_quality", process_rule=read_rule("custom", _ONE_SEGMENT))
    turns = asyncio.Semaphore(_AT_ONCE)
    with _progress(out, "indexing", len(labelled.passages)) as advance:

        async def add(passage_id: str, text: str) -> None:
            async with turns:
                written = DocumentText(name=passage_id, text=text)
                document = await workspace.documents.create_by_text(made.id, written, options, owner.id)
                await platform.indexer.run(document.document.id)
                advance()

        await asyncio.gather(*(add(passage.id, passage.text) for passage in labelled.passages))
    out.done(f"Knowledge base {made.name} is {made.id}: {len(labelled.passages)} passages.")


async def _ask(
    out: Output,
    asked: _Asked,
    labelled: LabelledSet,
    settings: list[dict[str, Any] | None],
    top_k: int,
) -> list[list[Scores]]:
    """The scores of each setting, question by question; BadInput when the base holds nothing of the set."""
    from dify_host.knowledge.evaluation import score

    scores: list[list[Scores]] = [[] for _ in settings]
    ids, is_known = {passage.id for passage in labelled.passages}, False
    with _progress(out, "asking", len(labelled.questions)) as advance:
        for question in labelled.questions:
            answers = await asked.ask(question.text, settings)
            for kept, found in zip(scores, answers, strict=True):
                passages = _passages(found)
                is_known = is_known or not ids.isdisjoint(passages)
                kept.append(score(passages, labelled.gains[question.id], top_k))
            advance()
    if not is_known:
        raise BadInput(
            f"Nothing that {asked.name} found is a passage of the set.",
            hint="A passage is known by the name of its document: add them under their ids, or use --make.",
        )
    return scores


def _passages(documents: Sequence[str]) -> list[str]:
    """The passages of documents, each once, at its best place; added as a file, one has an ending."""
    return list(dict.fromkeys(name.removesuffix(".txt").removesuffix(".md") for name in documents))


def _report(
    out: Output, asked: _Asked, names: tuple[str, ...], scores: list[list[Scores]], top_k: int, left_out: int
) -> None:
    from dify_host.knowledge.evaluation import compare, mean

    rows, data = [], []
    for number, (name, found) in enumerate(zip(names, scores, strict=True)):
        cells, measured = [], {}
        for measure in MEASURES:
            values = [getattr(item, measure) for item in found]
            base = [getattr(item, measure) for item in scores[0]]
            against = compare(base, values) if number else None
            cells.append(f"{mean(values):.4f}{_difference(against)}")
            measured[measure] = {"mean": mean(values), "difference": msgspec.to_builtins(against)}
        rows.append((name, *cells))
        data.append({"setting": name, "measures": measured})
    columns = ["setting", *(title.format(k=top_k) for title in MEASURES.values())]
    out.table(f"{asked.name}: {len(scores[0])} questions", columns, rows)
    if len(names) > 1:
        out.say(
            f"In brackets: the difference to {names[0]}, its 95 % interval over questions, and questions better/worse."
        )
    if left_out:
        out.say(f"{left_out} questions are too long for the API and were not asked.")
    result = {"dataset_id": asked.id, "questions": len(scores[0]), "left_out": left_out, "top_k": top_k, "data": data}
    out.result(result)


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    return f"\n({found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] {found.better}/{found.worse})"


def _progress(out: Output, name: str, total: int) -> Any:
    """A context with a bar for people; its value is called for each thing done."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=out.console(), disable=not out.live, transient=True) as progress:
            bar = progress.add_task(name, total=total)
            yield lambda: progress.advance(bar)

    return shown()
