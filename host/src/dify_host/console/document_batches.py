"""What indexing would make of files that are not indexed yet."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody

from dify_host.console.dataset_shapes import SourceList, person_of
from dify_host.http.console_callers import DATASET_WRITERS, ConsoleAccount
from dify_host.knowledge.remote import UPLOAD_FILE
from dify_host.service.documents import Form, Rule
from dify_host.service.shapes import shown

__all__ = ["EstimateController"]


class EstimateBody(msgspec.Struct, kw_only=True):
    """Body of `/datasets/indexing-estimate`."""

    info_list: SourceList
    process_rule: Rule
    indexing_technique: Literal["high_quality", "economy"] | None = None
    doc_form: Form = "text_model"
    dataset_id: str | None = None
    doc_language: str = "English"


class EstimateController(Controller):
    """The route of estimates."""

    path = "/datasets"

    @post("/indexing-estimate", status_code=200, opt=DATASET_WRITERS)
    async def estimate(self, data: JSONBody[EstimateBody], caller: ConsoleAccount) -> dict[str, Any]:
        """How many segments there would be, and the first of them. Nothing is kept."""
        if data.dataset_id:
            await caller.workspace.datasets.access.require(data.dataset_id, person_of(caller))
        estimates = caller.workspace.knowledge.estimates
        chosen, rule = data.info_list, data.process_rule.read()
        if chosen.data_source_type == UPLOAD_FILE:
            made = await estimates.files(chosen.file_ids, rule, data.doc_form, language=data.doc_language)
        else:
            made = await estimates.items(
                chosen.data_source_type, chosen.items, rule, data.doc_form, language=data.doc_language
            )
        found: dict[str, Any] = shown(made)
        return found
