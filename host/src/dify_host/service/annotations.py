"""Annotations of an app, and whether it answers with them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from dify_host.annotations.records import Annotation, ReplyJob
from dify_host.annotations.replies import Action, ReplyWish
from dify_host.http.callers import AppCaller, AppKey
from dify_host.runs.conversations import unix
from dify_host.service.shapes import IdInPath, PageNumber

__all__ = ["AnnotationController", "AnnotationItem", "ReplyBody", "StartedJob", "Threshold", "annotation_item"]

PageSize = Annotated[int, QueryParameter(ge=1, le=100)]
Threshold = Annotated[float, msgspec.Meta(ge=0, le=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class AnnotationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A question, and what to answer to it."""

    question: Annotated[str, msgspec.Meta(min_length=1)]
    answer: Annotated[str, msgspec.Meta(min_length=1)]


class ReplyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From which similarity on, and by which embedding model; Dify asks for all of it to switch off, too."""

    score_threshold: Threshold
    embedding_provider_name: Name
    embedding_model_name: Name


class AnnotationItem(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation as the API shows it."""

    id: str
    question: str
    answer: str
    hit_count: int
    created_at: int


class AnnotationPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of annotations, newest first."""

    data: list[AnnotationItem]
    has_more: bool
    limit: int
    total: int
    page: int


class StartedJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job that switches."""

    job_id: str
    job_status: str


class AnnotationController(Controller):
    """Routes of annotations."""

    path = "/apps"
    tags = ("Annotations",)

    @get("/annotations")
    async def list_annotations(
        self, caller: AppKey, page: PageNumber = 1, limit: PageSize = 20, keyword: FromQuery[str] = ""
    ) -> AnnotationPage:
        """The annotations of the app; `keyword` finds a part of a question or answer."""
        found = await caller.workspace.annotations.page(caller.app_id, page=page, limit=limit, keyword=keyword)
        return AnnotationPage(
            data=[annotation_item(annotation) for annotation in found.data],
            has_more=found.has_more,
            limit=found.limit,
            total=found.total,
            page=found.page,
        )

    @post("/annotations", status_code=201)
    async def create(self, data: JSONBody[AnnotationBody], caller: AppKey) -> AnnotationItem:
        """Write an annotation."""
        author = await _author(caller)
        made = await caller.workspace.annotations.create(caller.app_id, data.question, data.answer, account_id=author)
        return annotation_item(made)

    @put("/annotations/{annotation_id:uuid}")
    async def update(self, annotation_id: IdInPath, data: JSONBody[AnnotationBody], caller: AppKey) -> AnnotationItem:
        """Give an annotation other texts."""
        changed = await caller.workspace.annotations.update(
            caller.app_id, str(annotation_id), data.question, data.answer
        )
        return annotation_item(changed)

    @delete("/annotations/{annotation_id:uuid}")
    async def remove(self, annotation_id: IdInPath, caller: AppKey) -> None:
        """Delete an annotation."""
        await caller.workspace.annotations.delete(caller.app_id, str(annotation_id))

    @post("/annotation-reply/{action:str}", status_code=200)
    async def switch(self, action: FromPath[Action], data: JSONBody[ReplyBody], caller: AppKey) -> StartedJob:
        """Begin to switch the annotation reply on or off; a job that is under way is told instead."""
        wish = ReplyWish(
            score_threshold=data.score_threshold,
            provider=data.embedding_provider_name,
            model=data.embedding_model_name,
        )
        replies = caller.workspace.annotation_replies
        job = await replies.start(caller.app_id, action, wish, account_id=await _author(caller))
        return StartedJob(job_id=job.job_id, job_status=job.job_status)

    @get("/annotation-reply/{action:str}/status/{job_id:uuid}")
    async def status(self, action: FromPath[Action], job_id: IdInPath, caller: AppKey) -> ReplyJob:
        """How far switching is."""
        return await caller.workspace.annotation_replies.status(caller.app_id, action, str(job_id))


def annotation_item(annotation: Annotation) -> AnnotationItem:
    """An annotation as the APIs show it."""
    return AnnotationItem(
        id=annotation.id,
        question=annotation.question,
        answer=annotation.answer,
        hit_count=annotation.hit_count,
        created_at=unix(annotation.created_at),
    )


async def _author(caller: AppCaller) -> str:
    """An app key acts for its workspace: what it writes is its owner's."""
    standing = await caller.workspace.standing()
    return standing.owner_id or caller.tenant.id
