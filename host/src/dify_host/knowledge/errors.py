"""What can go wrong with knowledge bases, beyond the errors every domain shares."""

from __future__ import annotations

from dify_kernel.errors import BadInput, Conflict, DifyError, Forbidden, NotFound

__all__ = [
    "ArchivedDocumentImmutable",
    "ChildChunkNotIndexed",
    "DatasetInUse",
    "DatasetNameDuplicate",
    "DatasetNotFound",
    "DatasetNotInitialized",
    "DocumentIndexing",
    "DocumentNotFound",
    "ExternalApiInUse",
    "ExternalApiNotFound",
    "ExternalKnowledgeFailed",
    "ExtractionFailed",
    "FullTextNotSupported",
    "ImportCutOff",
    "InvalidAction",
    "MoveNotVerified",
    "ProviderNotInitialize",
    "SegmentNotFound",
    "UnsupportedFileType",
]


class ChildChunkNotIndexed(BadInput):
    """The embedding model gave no vector for the text of a child chunk, which is not kept."""

    code = "child_chunk_indexing_error"


class DatasetNotFound(NotFound):
    """The tenant has no such knowledge base."""


class DocumentNotFound(NotFound):
    """The knowledge base has no such document."""


class SegmentNotFound(NotFound):
    """The document has no such segment."""


class DatasetNameDuplicate(Conflict):
    """The tenant has a knowledge base of that name already."""

    code = "dataset_name_duplicate"


class DatasetInUse(Conflict):
    """An app uses the knowledge base, so it cannot be deleted."""

    code = "dataset_in_use"


class DatasetNotInitialized(BadInput):
    """The knowledge base has no indexing technique yet: nothing was ever put into it."""

    code = "dataset_not_initialized"


class MoveNotVerified(DifyError):
    """Another vector store does not hold or find the same as the one that a knowledge base is moved from."""

    code = "move_not_verified"


class ImportCutOff(Conflict):
    """Another process has taken an import over, or taken back what it wrote."""

    code = "import_cut_off"


class ProviderNotInitialize(BadInput):
    """A high-quality knowledge base has no embedding model to work with."""

    code = "provider_not_initialize"


class DocumentIndexing(BadInput):
    """The document is being indexed, and this cannot be done until that ends."""

    code = "document_indexing"


class ArchivedDocumentImmutable(Forbidden):
    """An archived document cannot be changed."""

    code = "archived_document_immutable"


class InvalidAction(BadInput):
    """The action is unknown, or the document is not in a state that allows it."""

    code = "invalid_action"


class UnsupportedFileType(BadInput):
    """The file's extension is not supported, or its content is not what the extension says."""

    code = "unsupported_file_type"
    status = 415


class ExtractionFailed(BadInput):
    """The file is damaged, locked with a password, or too costly to read."""

    code = "document_extraction_failed"


class FullTextNotSupported(BadInput):
    """The knowledge base lives in a vector store that has no full-text search."""

    code = "full_text_not_supported"


class ExternalApiNotFound(NotFound):
    """The workspace has no such external knowledge API."""


class ExternalApiInUse(Conflict):
    """A knowledge base uses the external knowledge API, so it cannot be deleted."""

    code = "external_api_in_use"


class ExternalKnowledgeFailed(DifyError):
    """An external knowledge API cannot be reached, or its answer is not what was asked for."""

    code = "external_knowledge_failed"
    status = 502
    retryable = True
