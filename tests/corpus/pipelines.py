"""Plays one published knowledge pipeline: imports it, runs it on files by API key, and works its jobs off."""

from __future__ import annotations

from typing import Any

from dify_host.apps.sharing import node_data
from dify_host.db.outbox import claim_batch
from dify_host.jobs.actors import ACTORS
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.run_records import RunFilter, RunRecords

from tests.corpus.sample_files import Sample, sample_file
from tests.corpus.stage import Stage

__all__ = ["play_pipeline"]

_TABLE: Sample = ("pairs.csv", b"number,question,answer\n1,What is tea?,A drink\n", "text/csv")
_DONE = "completed"


async def play_pipeline(stage: Stage, text: str) -> list[dict[str, Any]]:
    """How the run over each file ended: `status`, `error`, the type of the `node` that failed, who was `reached`."""
    imported = await stage.workspace.pipelines.import_dsl(text, account_id=stage.owner_id, confirmed=True)
    pipeline_id = str(imported.pipeline_id)
    record = await stage.workspace.pipelines.publish(pipeline_id, stage.owner_id)
    token = (await stage.workspace.api_keys.create("dataset", None)).token
    headers = {"Authorization": f"Bearer {token}"}
    sources = [
        (node_id, data) for node_id, data in node_data(record.graph)
        if data.get("type") == "datasource" and data.get("provider_type") == "local_file"
    ]  # fmt: skip
    inputs = {field["variable"]: _value(field) for field in record.rag_pipeline_variables}
    ends = []
    for node_id, data in sources:
        for sample in _samples(data, record.graph):
            sent = await stage.web.post("/v1/datasets/pipeline/file-upload", files={"file": sample}, headers=headers)
            assert sent.status_code == 201, sent.text
            body = {
                "inputs": inputs,
                "datasource_type": "local_file",
                "datasource_info_list": [{"related_id": sent.json()["id"]}],
                "start_node_id": node_id,
                "is_published": True,
                "response_mode": "blocking",
            }
            path = f"/v1/datasets/{imported.dataset_id}/pipeline/run"
            answer = await stage.web.post(path, json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            await _work(stage)
            document_id = answer.json()["documents"][0]["id"]
            ends.append(await _end(stage, pipeline_id, str(imported.dataset_id), document_id, sample[0]))
    return ends


async def _end(stage: Stage, pipeline_id: str, dataset_id: str, document_id: str, name: str) -> dict[str, Any]:
    """How the newest run ended, and its document with it."""
    parts = (stage.platform.db, stage.workspace.tenant, stage.platform.payloads)
    wanted = RunFilter(triggered_from=("rag-pipeline-run",))
    run = (await RunRecords(*parts).page(pipeline_id, wanted, last_id=None, limit=1, chat=False)).data[0]
    nodes = await NodeRecords(*parts).of_run(pipeline_id, run["id"])
    document = await stage.workspace.documents.get(dataset_id, document_id)
    assert (run["status"] == "succeeded") == (document.indexing_status == _DONE), document.error
    return {
        "status": run["status"],
        "error": document.error or "",
        "node": next((node["node_type"] for node in nodes if node["status"] == "failed"), ""),
        "given": {"file": name},
        "reached": frozenset(node["node_id"] for node in nodes),
    }


async def _work(stage: Stage) -> None:
    while jobs := await claim_batch(stage.platform.db):
        for job in jobs:
            await ACTORS[job.actor].run(stage.platform, **job.args)


def _samples(data: dict[str, Any], graph: dict[str, Any]) -> list[Sample]:
    """A text and a Markdown file, as pipelines tell these apart; a table where questions are read from one."""
    if any(node.get("tool_name") == "qa_chunk" for _, node in node_data(graph)):
        return [_TABLE]
    return [sample_file(["custom"], [extension])[1] for extension in ("txt", "md")]


def _value(field: dict[str, Any]) -> Any:
    """What a person may type into a field."""
    if field.get("default_value") not in (None, ""):
        return field["default_value"]
    if field.get("options"):
        return field["options"][0]
    return {"number": 100, "checkbox": True}.get(field["type"], "text")
