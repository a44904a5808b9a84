"""Callers who have documents made: they send files or name pages, and remember what was accepted."""

from __future__ import annotations

from typing import Any

from tests.faults.clients import Accepted, Callers, Told
from tests.faults.pipelines import GONE, FaultPipeline, page_address
from tests.faults.texts import lines_of

__all__ = ["write"]

_TRIES_FIRST, _IS_GONE = 0.2, 0.15


async def write(callers: Callers, word: str) -> None:
    """Run a pipeline that chance names on one or two items; now and then only try its draft on a file."""
    callers.asked += 1
    pipeline = callers.random.choice(list(callers.stage.house.pipelines.values()))
    tries = pipeline.kind == "local_file" and callers.random.random() < _TRIES_FIRST
    callers.open[word] = f"{pipeline.name} {'tries' if tries else 'writes'}"
    await _write(callers, pipeline, word, tries=tries)
    del callers.open[word]


async def _write(callers: Callers, pipeline: FaultPipeline, word: str, *, tries: bool) -> None:
    names = [f"{word} {number}" for number in range(callers.random.choice((1, 2)))]
    items = [item for name in names if (item := await _item(callers, pipeline, name)) is not None]
    if len(items) != len(names):
        return  # which is noted
    house, pace = callers.stage.house, callers.pace()
    dataset_id = house.datasets[pipeline.name]
    body = pipeline.body(word, pace, items, published=not tries)
    answer = await callers.ask(pipeline.name, f"/v1/datasets/{dataset_id}/pipeline/run", house.dataset_key, json=body)
    if answer is None:
        return
    told = answer.json()
    if tries:
        callers.told.append(Told(run_id=told["task_id"], status=told["data"]["status"]))
    else:
        callers.accepted += [Accepted(dataset_id=dataset_id, document_id=item["id"]) for item in told["documents"]]


async def _item(callers: Callers, pipeline: FaultPipeline, name: str) -> dict[str, Any] | None:
    """What one document is to be made of; None when the file was refused."""
    if pipeline.kind == "website_crawl":
        name = name + GONE if callers.random.random() < _IS_GONE else name
        return {"source_url": page_address(callers.stage.effects.url, name), "title": name}
    file = {"file": (f"{name}.txt", "\n".join(lines_of(name)).encode(), "text/plain")}
    key = callers.stage.house.dataset_key
    answer = await callers.ask(pipeline.name, "/v1/datasets/pipeline/file-upload", key, files=file)
    return None if answer is None else {"related_id": answer.json()["id"], "name": f"{name}.txt"}
