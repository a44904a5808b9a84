"""Knowledge bases of tests: made, filled and indexed over the API."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa
from dify_host.knowledge.tables import documents

from .service_house import House, Key

EMBEDDING = {"embedding_model": "scripted-embedding", "embedding_model_provider": "openai"}
AUTOMATIC = {"mode": "automatic"}
PARENTS = {
    "mode": "hierarchical",
    "rules": {
        "pre_processing_rules": [{"id": "remove_extra_spaces", "enabled": True}],
        "segmentation": {"separator": "\n\n", "max_tokens": 500},
        "parent_mode": "paragraph",
        "subchunk_segmentation": {"separator": ".", "max_tokens": 100},
    },
}
TEXT = "The gripper pad costs eighteen euros.\n\nThe wheel motor weighs two kilograms."


async def make(key: Key, name: str = "Parts", **more: Any) -> dict[str, Any]:
    answer = await key("POST", "/datasets", {"name": name, "indexing_technique": "high_quality", **EMBEDDING, **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def add_text(key: Key, dataset_id: str, text: str = TEXT, **more: Any) -> httpx.Response:
    body = {"name": "notes.txt", "text": text, "indexing_technique": "high_quality", "process_rule": AUTOMATIC, **more}
    return await key("POST", f"/datasets/{dataset_id}/document/create-by-text", body)


async def index_all(house: House) -> None:
    """Do the waiting indexing jobs, as a worker would."""
    async with house.platform.db.read() as conn:
        waiting = sa.select(documents.c.id).where(documents.c.indexing_status.not_in(("completed", "error")))
        ids = list((await conn.execute(waiting)).scalars())
    for document_id in ids:
        await house.platform.indexer.run(document_id)
