"""What tests of knowledge pipelines do: make one of a text, upload files for it, and work its jobs off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from dify_host.db.outbox import claim_batch
from dify_host.jobs.actors import ACTORS
from dify_host.platform import Platform

from ..console.console_house import Browser
from ..service.service_house import House

__all__ = ["FORM", "Pipeline", "example", "made", "work"]

EXAMPLE = Path(__file__).parents[3] / "examples" / "handbook-pipeline.yml"
FORM = {"delimiter": "\\n\\n", "max_chunk_length": 200}
TEXT = "Tea is   green.\n\nCoffee is black.\n\nMilk is white."


class Pipeline:
    """One pipeline, as its maker sees it."""

    def __init__(self, house: House, browser: Browser, pipeline_id: str, dataset_id: str) -> None:
        self.house, self.browser, self.id, self.dataset_id = house, browser, pipeline_id, dataset_id

    @property
    def path(self) -> str:
        """Below the console."""
        return f"/rag/pipelines/{self.id}"

    async def upload(self, text: str = TEXT, name: str = "drinks.txt") -> dict[str, Any]:
        """An item for a run."""
        kept = await self.house.workspace.files.upload(
            text.encode(), name, "text/plain", created_by_role="account", created_by=self.house.owner_id
        )
        return {"related_id": kept.id, "name": name, "extension": "txt", "transfer_method": "local_file"}

    async def body(self, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What a run is asked for with; an uploaded text when nothing is given."""
        found = list(items) or [await self.upload()]
        source = {"datasource_type": "local_file", "datasource_info_list": found, "start_node_id": "file"}
        return {"inputs": FORM, **source, **more}

    async def publish(self) -> None:
        """Make the draft the version that runs."""
        await self.browser.ok("POST", f"{self.path}/workflows/publish", {})

    async def run(self, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The answer of a published run."""
        answer: dict[str, Any] = await self.browser.ok(
            "POST", f"{self.path}/workflows/published/run", await self.body(*items, **more)
        )
        return answer

    async def document(self, document_id: str) -> Any:
        """A document as it is now."""
        return await self.house.workspace.documents.get(self.dataset_id, document_id)

    async def texts(self, document_id: str) -> list[str]:
        """The chunks of a document."""
        found = await self.house.workspace.segments.find(self.dataset_id, document_id)
        return [item.content for item in found.data]


def example(**nodes: dict[str, Any]) -> str:
    """The text of the example, nodes changed by id."""
    document = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    for node in document["workflow"]["graph"]["nodes"]:
        node["data"] |= nodes.get(node["id"], {})
    return str(yaml.safe_dump(document, allow_unicode=True))


async def made(house: House, browser: Browser, text: str = "", *, publish: bool = False) -> Pipeline:
    """A pipeline of a text; of the example without one."""
    body = {"mode": "yaml-content", "yaml_content": text or example()}
    answer = await browser.ok("POST", "/rag/pipelines/imports", body)
    pipeline = Pipeline(house, browser, answer["pipeline_id"], answer["dataset_id"])
    if publish:
        await pipeline.publish()
    return pipeline


async def work(platform: Platform) -> list[str]:
    """Work off what waits in the outbox, as a worker does, and return the names of the jobs."""
    done: list[str] = []
    while jobs := await claim_batch(platform.db):
        for job in jobs:
            await ACTORS[job.actor].run(platform, **job.args)
            done.append(job.actor)
    return done
