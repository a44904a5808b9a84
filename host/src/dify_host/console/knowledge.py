"""The routes of knowledge bases, together: a knowledge base in a path is seen by whom its permission says."""

from __future__ import annotations

from litestar import Router

from dify_host.console.data_sources import (
    DatasetSyncController,
    DataSourceController,
    NotionController,
    WebsiteController,
)
from dify_host.console.dataset_keys import DatasetKeyController, KnowledgeSettingController
from dify_host.console.dataset_metadata import DatasetMetadataController, HitTestController
from dify_host.console.dataset_shapes import visible_dataset
from dify_host.console.datasets import DatasetController, DatasetFactsController
from dify_host.console.datasource_credentials import DatasourceCredentialController
from dify_host.console.document_batches import EstimateController
from dify_host.console.documents import DocumentController, DocumentsController
from dify_host.console.drives import DriveController
from dify_host.console.external_knowledge import ExternalApiController, ExternalDatasetController
from dify_host.console.files import ConsoleFileController
from dify_host.console.segments import (
    ChildChunkController,
    SegmentController,
    SegmentImportController,
    SegmentsController,
)
from dify_host.console.tags import TagController

__all__ = ["knowledge_routes"]


def knowledge_routes() -> Router:
    """Everything below `/datasets`, sources of documents, and tags."""
    return Router(
        "/",
        route_handlers=[
            DatasetController,
            DatasetFactsController,
            DatasetKeyController,
            KnowledgeSettingController,
            DatasetMetadataController,
            HitTestController,
            DocumentsController,
            DocumentController,
            EstimateController,
            SegmentsController,
            SegmentController,
            ChildChunkController,
            SegmentImportController,
            ExternalApiController,
            ExternalDatasetController,
            DataSourceController,
            ConsoleFileController,
            WebsiteController,
            NotionController,
            DriveController,
            DatasetSyncController,
            DatasourceCredentialController,
            TagController,
        ],
        guards=[visible_dataset],
    )
