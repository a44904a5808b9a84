"""Annotations of an app in the console: written by hand, out of a message or from a file, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from dify_host.annotations.records import Hit, ReplyJob
from dify_host.annotations.replies import Action, ReplyWish
from dify_host.console.shapes import app_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount
from dify_host.runs.conversations import unix
from dify_host.service.annotations import AnnotationItem, ReplyBody, StartedJob, Threshold, annotation_item
from dify_host.service.shapes import IdInPath, PageNumber, page_body
from dify_host.service.uploads import one_file

__all__ = ["AnnotationController", "AnnotationImportController", "AnnotationReplyController"]

PageSize = Annotated[int, QueryParameter(ge=1, le=100)]


class AnnotationBody(msgspec.Struct, kw_only=True):
    """A question and its answer, which may come from a message; `content` is an older name of the answer."""

    message_id: str | None = None
    question: str | None = None
    answer: str | None = None
    content: str | None = None
    annotation_reply: dict[str, Any] | None = None

    def text(self) -> str:
        """The answer; BadInput without one."""
        answer = self.answer or self.content
        if not answer:
            raise BadInput("Either 'content' or 'answer' must be provided", field="answer")
        return answer


class ThresholdBody(msgspec.Struct, kw_only=True):
    """From which similarity on an annotation answers."""

    score_threshold: Threshold


class ImportStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The job of an import, and how many annotations it is about."""

    job_id: str
    job_status: str
    record_count: int


class AnnotationController(Controller):
    """Routes of the annotations themselves."""

    path = "/apps/{app_id:uuid}/annotations"

    @get("/", opt=WRITERS)
    async def listed(
        self,
        app_id: IdInPath,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str] = "",
    ) -> dict[str, Any]:
        """A page, newest first; `keyword` finds a part of a question or answer."""
        app = await app_of(caller, app_id)
        found = await caller.workspace.annotations.page(app.id, page=page, limit=limit, keyword=keyword)
        return {**page_body(found), "data": [annotation_item(item) for item in found.data]}

    @post("/", status_code=201, opt=WRITERS)
    async def create(self, app_id: IdInPath, data: JSONBody[AnnotationBody], caller: ConsoleAccount) -> AnnotationItem:
        """Write one; that of a message which has one already is changed."""
        app, service = await app_of(caller, app_id), caller.workspace.annotations
        account = caller.account_id
        if data.message_id:
            return annotation_item(
                await service.of_message(app.id, data.message_id, data.question, data.text(), account_id=account)
            )
        if not data.question:
            raise BadInput("'question' is required when 'message_id' is not provided", field="question")
        return annotation_item(await service.create(app.id, data.question, data.text(), account_id=account))

    @delete("/", status_code=204, opt=WRITERS)
    async def remove_several(
        self, app_id: IdInPath, caller: ConsoleAccount, annotation_id: FromQuery[list[str] | None] = None
    ) -> None:
        """Delete those that are named, or all when none is."""
        app = await app_of(caller, app_id)
        if annotation_id is not None and not any(annotation_id):
            raise BadInput("annotation_ids are required if the parameter is provided.", field="annotation_id")
        await caller.workspace.annotations.delete_all(app.id, annotation_id)

    @get("/count", opt=MEMBERS)
    async def count(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, int]:
        """How many there are."""
        app = await app_of(caller, app_id)
        return {"count": (await caller.workspace.annotations.page(app.id, limit=1)).total}

    @get("/export", opt=WRITERS)
    async def export(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, list[AnnotationItem]]:
        """All of them, newest first."""
        app = await app_of(caller, app_id)
        found = await caller.workspace.annotations.every(app.id)
        return {"data": [annotation_item(item) for item in found]}

    @post("/{annotation_id:uuid}", status_code=200, opt=WRITERS)
    async def update(
        self, app_id: IdInPath, annotation_id: IdInPath, data: JSONBody[AnnotationBody], caller: ConsoleAccount
    ) -> AnnotationItem:
        """Give one other texts; a question that is not given stays."""
        app = await app_of(caller, app_id)
        changed = await caller.workspace.annotations.update(app.id, str(annotation_id), data.question, data.text())
        return annotation_item(changed)

    @delete("/{annotation_id:uuid}", status_code=204, opt=WRITERS)
    async def remove(self, app_id: IdInPath, annotation_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete one with what is remembered of its use."""
        app = await app_of(caller, app_id)
        await caller.workspace.annotations.delete(app.id, str(annotation_id))

    @get("/{annotation_id:uuid}/hit-histories", opt=WRITERS)
    async def hits(
        self,
        app_id: IdInPath,
        annotation_id: IdInPath,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: PageSize = 20,
    ) -> dict[str, Any]:
        """The questions that it answered, newest first."""
        app = await app_of(caller, app_id)
        found = await caller.workspace.annotations.hits(app.id, str(annotation_id), page=page, limit=limit)
        return {**page_body(found), "data": [_hit(item) for item in found.data]}


class AnnotationImportController(Controller):
    """Routes of annotations from a file."""

    path = "/apps/{app_id:uuid}/annotations"

    @post("/batch-import", status_code=200, opt=WRITERS)
    async def begin(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> ImportStarted:
        """Write those of a CSV file, whose first row is a header; a job brings them into the index."""
        app = await app_of(caller, app_id)
        form = await one_file(request)
        imports = caller.workspace.annotation_imports
        job_id, count = await imports.begin(app.id, form.filename, form.content, account_id=caller.account_id)
        return ImportStarted(job_id=job_id, job_status="waiting", record_count=count)

    @get("/batch-import-status/{job_id:uuid}", opt=WRITERS)
    async def status(self, app_id: IdInPath, job_id: IdInPath, caller: ConsoleAccount) -> ReplyJob:
        """How far an import is."""
        app = await app_of(caller, app_id)
        return await caller.workspace.annotation_imports.status(app.id, str(job_id))


class AnnotationReplyController(Controller):
    """Routes that let an app answer with its annotations."""

    path = "/apps/{app_id:uuid}"

    @get("/annotation-setting", opt=WRITERS)
    async def setting(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Whether and how the app answers with them."""
        app = await app_of(caller, app_id)
        return await caller.workspace.annotations.shown(app.id)

    @post("/annotation-settings/{annotation_setting_id:uuid}", status_code=200, opt=WRITERS)
    async def change(
        self,
        app_id: IdInPath,
        annotation_setting_id: IdInPath,
        data: JSONBody[ThresholdBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> dict[str, Any]:
        """Give the setting another threshold."""
        app = await app_of(caller, app_id)
        replies = caller.workspace.annotation_replies
        await replies.set_threshold(app.id, str(annotation_setting_id), data.score_threshold, caller.account_id)
        platform_of(request).live_apps.forget(app.id)
        return await caller.workspace.annotations.shown(app.id)

    @post("/annotation-reply/{action:str}", status_code=200, opt=WRITERS)
    async def switch(
        self, app_id: IdInPath, action: FromPath[str], data: JSONBody[ReplyBody], caller: ConsoleAccount
    ) -> StartedJob:
        """Begin to switch the annotation reply on or off; a job that is under way is told instead."""
        app = await app_of(caller, app_id)
        wish = ReplyWish(
            score_threshold=data.score_threshold,
            provider=data.embedding_provider_name,
            model=data.embedding_model_name,
        )
        job = await caller.workspace.annotation_replies.start(
            app.id, _action(action), wish, account_id=caller.account_id
        )
        return StartedJob(job_id=job.job_id, job_status=job.job_status)

    @get("/annotation-reply/{action:str}/status/{job_id:uuid}", opt=WRITERS)
    async def status(
        self, app_id: IdInPath, action: FromPath[str], job_id: IdInPath, caller: ConsoleAccount
    ) -> ReplyJob:
        """How far switching is."""
        app = await app_of(caller, app_id)
        return await caller.workspace.annotation_replies.status(app.id, _action(action), str(job_id))


def _action(word: str) -> Action:
    """BadInput for another word than the two."""
    actions: dict[str, Action] = {"enable": "enable", "disable": "disable"}
    if word not in actions:
        raise BadInput(f"Action {word!r} is unknown.", hint="Use enable or disable.", field="action")
    return actions[word]


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "source": hit.source,
        "score": hit.score,
        "question": hit.question,
        "created_at": unix(hit.created_at),
        "match": hit.annotation_question,
        "response": hit.annotation_content,
    }
