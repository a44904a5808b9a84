"""Settings of knowledge bases; names are those of the environment variables."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["KnowledgeSettings"]


class KnowledgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and names that the services and the indexer share."""

    vector_index_name_prefix: Annotated[str, Doc("Prefix of collection names", pattern="^[A-Za-z0-9_]{1,24}$")] = (
        "Vector_index"
    )
    indexing_max_segmentation_tokens_length: Annotated[int, Doc("Largest chunk, in characters", ge=50)] = 4000
    dataset_max_segments_per_request: Annotated[int, Doc("Segments in one request; 0 = no limit", ge=0)] = 0
    tenant_isolated_task_concurrency: Annotated[
        int, Doc("Documents of one workspace that are indexed at a time; those of others get their turn.", ge=1, le=64)
    ] = 2
    attachment_image_file_size_limit: Annotated[
        int, Doc("MB of a picture that a document links to; 0 = links stay as they are", ge=0, le=100)
    ] = 2
    attachment_image_download_timeout: Annotated[
        int, Doc("Seconds that fetching such a picture may take", ge=1, le=600)
    ] = 60
