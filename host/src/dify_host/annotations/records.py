"""Annotations and the setting that makes an app answer with them, as the rest of the host sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dify_host.knowledge.records import IndexStruct

__all__ = ["Annotation", "Hit", "Match", "ReplyJob", "ReplySetting"]


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """A question and the answer that somebody wrote for it; `hit_count` tells how often it was given."""

    id: str
    app_id: str
    question: str
    answer: str
    hit_count: int
    account_id: str
    created_at: datetime


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A question that an annotation answered, with its texts as they were then; `source` is api or console."""

    id: str
    source: str
    score: float
    question: str
    created_at: datetime
    annotation_question: str | None
    annotation_content: str | None


class ReplySetting(msgspec.Struct, frozen=True, kw_only=True):
    """That an app answers with its annotations, from which similarity on, and where they are indexed."""

    id: str
    app_id: str
    score_threshold: float
    provider: str
    model: str
    index: IndexStruct

    def shown(self) -> dict[str, Any]:
        """The setting as `/parameters` and the console show it."""
        model = {"embedding_provider_name": self.provider, "embedding_model_name": self.model}
        return {"id": self.id, "enabled": True, "score_threshold": self.score_threshold, "embedding_model": model}


class ReplyJob(msgspec.Struct, frozen=True, kw_only=True):
    """How far switching is; `job_status` is waiting, processing, completed or error."""

    job_id: str
    job_status: str
    error_msg: str = ""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """The annotation that answers a question, who wrote it, and how near the questions are."""

    annotation: Annotation
    author: str
    score: float

    def shown(self) -> dict[str, Any]:
        """What the metadata of the message say of it."""
        return {"id": self.annotation.id, "account": {"id": self.annotation.account_id, "name": self.author}}
