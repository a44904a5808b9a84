"""The Service API: controllers for client SDKs. No business rule lives here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from dify_host.service.annotations import AnnotationController
from dify_host.service.app_info import AppInfoController
from dify_host.service.audio import SpeechController, TranscriptController
from dify_host.service.conversations import ConversationController
from dify_host.service.datasets import DatasetController
from dify_host.service.documents import DocumentController, DocumentUploadController
from dify_host.service.files import FileController, UploadController
from dify_host.service.human_input import HumanInputController
from dify_host.service.messages import MessageController
from dify_host.service.metadata import MetadataController
from dify_host.service.models import ModelController
from dify_host.service.pipelines import PipelineController, PipelineUploadController
from dify_host.service.retrieve import RetrieveController
from dify_host.service.run_events import RunEventController
from dify_host.service.runs import RunController
from dify_host.service.segments import ChildChunkController, SegmentController
from dify_host.service.tags import TagController
from dify_host.service.workflow_runs import WorkflowRunController

__all__ = ["app_routes", "app_uploads", "dataset_routes", "dataset_uploads"]


def app_routes() -> list[ControllerRouterHandler]:
    """The routes below `/v1` for app keys."""
    return [
        RunController,
        RunEventController,
        ConversationController,
        MessageController,
        WorkflowRunController,
        HumanInputController,
        FileController,
        AppInfoController,
        AnnotationController,
        SpeechController,
    ]


def app_uploads() -> list[ControllerRouterHandler]:
    """Those that take files."""
    return [UploadController, TranscriptController]


def dataset_routes() -> list[ControllerRouterHandler]:
    """The routes below `/v1` for knowledge keys."""
    return [
        DatasetController,
        DocumentController,
        SegmentController,
        ChildChunkController,
        RetrieveController,
        PipelineController,
        ModelController,
        MetadataController,
        TagController,
    ]


def dataset_uploads() -> list[ControllerRouterHandler]:
    """Those that take files."""
    return [DocumentUploadController, PipelineUploadController]
