"""Questions about a question, put to a chat model: which knowledge base to ask, and which metadata it is about."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.model import LLMRequest, PromptMessage
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import BadInput, DifyError, PlatformUnavailable

from dify_host.knowledge.metadata import OPERATORS, Condition, Conditions
from dify_host.knowledge.records import Dataset

__all__ = ["choose_dataset", "guess_conditions"]

log = logging.getLogger(__name__)

_JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)

_CHOOSE = (
    "Decide which one of these knowledge bases is most likely to answer the question. Answer with JSON and nothing "
    'else: {"id": "<id of the knowledge base>"}, or {"id": null} when none of them fits.'
)
_FILTER = (
    "Find what the question says about the metadata of the documents it is about. Use only the listed fields. Answer "
    'with JSON and nothing else: {"metadata_map": [{"metadata_field_name": "...", "metadata_field_value": "...", '
    '"comparison_operator": "..."}]}, with an empty list when it says nothing.'
)


async def choose_dataset(
    models: ModelsPort, model: Mapping[str, Any] | None, query: str, datasets: Sequence[Dataset]
) -> Dataset | None:
    """Let the model pick the dataset to ask; None when it picks none of them.

    BadInput without a model. The model's own errors are the caller's.
    """
    if len(datasets) == 1:
        return datasets[0]
    listed = [
        {
            "id": dataset.id,
            "name": dataset.name,
            "description": dataset.description
            or f"useful for when you want to answer queries about the {dataset.name}",
        }
        for dataset in datasets
    ]
    answer = await _ask(models, model, _CHOOSE, {"knowledge_bases": listed, "question": query})
    chosen = answer.get("id") if isinstance(answer, dict) else None
    return next((dataset for dataset in datasets if dataset.id == chosen), None)


async def guess_conditions(
    models: ModelsPort, model: Mapping[str, Any] | None, query: str, fields: Mapping[str, str]
) -> Conditions | None:
    """Let the model find metadata conditions in the question; None when there are none, or it fails.

    `fields` are names and types. A filter nobody asked for must not make a question fail, so a failure is logged.
    """
    if not fields:
        return None
    described = [{"name": name, "type": kind} for name, kind in sorted(fields.items())]
    asked = {"fields": described, "operators": sorted(OPERATORS), "question": query}
    try:
        answer = await _ask(models, model, _FILTER, asked)
    except PlatformUnavailable:
        raise
    except DifyError as exc:
        log.warning("no automatic metadata filter: %s", exc)
        return None
    items = answer.get("metadata_map") if isinstance(answer, dict) else answer
    conditions = [
        Condition(
            name=item["metadata_field_name"],
            comparison_operator=item["comparison_operator"],
            value=item.get("metadata_field_value"),
        )
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
        and item.get("metadata_field_name") in fields
        and item.get("comparison_operator") in OPERATORS
    ]
    return Conditions(logical_operator="or", conditions=conditions) if conditions else None


async def _ask(models: ModelsPort, model: Mapping[str, Any] | None, task: str, data: dict[str, Any]) -> Any:
    """The model's answer as JSON; None when there is none in it."""
    chosen = model or {}
    provider, name = chosen.get("provider"), chosen.get("name") or chosen.get("model")
    if not provider or not name:
        raise BadInput("No model is set to route the question.", hint="Choose a model in the node.")
    request = LLMRequest(
        model=str(name),
        messages=[
            PromptMessage(role="system", content=task),
            PromptMessage(role="user", content=msgspec.json.encode(data).decode()),
        ],
        parameters=chosen.get("completion_params") or {},
    )
    text = "".join([delta.text async for delta in models.llm(str(provider), request)])
    found = _JSON.search(text)
    try:
        return msgspec.json.decode(found[0]) if found else None
    except msgspec.DecodeError:
        return None
