"""What a running node may reach: one protocol a kind, provided by the host and faked by `dify_kernel.testing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.model import (
    Embeddings,
    LLMDelta,
    LLMRequest,
    ModelInfo,
    ModelType,
    PromptMessage,
    RerankHit,
)
from dify_kernel.contracts.tool import ToolInfo
from dify_kernel.graph.values import File

__all__ = [
    "FilesPort",
    "IndexChunk",
    "IndexedDocument",
    "Indexing",
    "KnowledgePort",
    "DocumentsPort",
    "MemoryPort",
    "ModelsPort",
    "Ports",
    "Retrieval",
    "SandboxPort",
    "ToolsPort",
]


class ModelsPort(Protocol):
    """Models of the workspace, with its credentials. Raises the Invoke… errors."""

    async def describe(self, provider: str, model: str, model_type: ModelType) -> ModelInfo:
        """What is known about a model."""
        ...

    def llm(self, provider: str, request: LLMRequest) -> AsyncIterator[LLMDelta]:
        """The answer as it is generated, the last delta with priced usage."""
        ...

    async def embed(
        self, provider: str, model: str, texts: Sequence[str], *, input_type: str = "document"
    ) -> Embeddings:
        """One vector a text."""
        ...

    async def rerank(
        self, provider: str, model: str, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankHit]:
        """Documents by relevance."""
        ...


class Retrieval(msgspec.Struct, frozen=True, kw_only=True):
    """A question to one or more knowledge bases; the optional parts are the mappings of the DSL node."""

    query: str
    dataset_ids: list[str]
    mode: str = "multiple"
    top_k: int = 4
    score_threshold: float | None = None
    reranking_enable: bool = False
    reranking_mode: str = "reranking_model"
    reranking_model: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    metadata_filtering_mode: str = "disabled"
    metadata_filtering_conditions: dict[str, Any] | None = None
    metadata_model: dict[str, Any] | None = None
    single_model: dict[str, Any] | None = None
    attachments: list[File] = []


class IndexChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document: its text, or a question with its `answer`, or a parent with `children`."""

    content: str
    answer: str | None = None
    children: list[str] = []
    files: list[File] = []


class Indexing(msgspec.Struct, frozen=True, kw_only=True):
    """The pieces of one document, to take the place of those that it has.

    `chunk_structure` is `text_model`, `qa_model` or `hierarchical_model`; `batch` is that of the document. The rest
    says how to index a knowledge base that has no technique yet: `high_quality` or `economy`, and with which model.
    """

    dataset_id: str
    document_id: str
    batch: str
    chunks: list[IndexChunk]
    chunk_structure: str = "text_model"
    indexing_technique: str | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    keyword_number: int | None = None
    retrieval_model: dict[str, Any] | None = None


class IndexedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `created_at` is the document's, in seconds since 1970."""

    dataset_id: str
    dataset_name: str
    document_id: str
    document_name: str
    batch: str
    created_at: float
    display_status: str = "completed"


class KnowledgePort(Protocol):
    """Knowledge bases of the workspace."""

    async def retrieve(self, request: Retrieval) -> list[dict[str, Any]]:
        """Found pieces, best first: `{content, title, metadata, files}` as the knowledge-retrieval node gives."""
        ...

    async def index(self, request: Indexing) -> IndexedDocument:
        """Put the pieces of a document into its knowledge base; they can be found when this returns.

        Calling again replaces. NotFound for a dataset or document that is not the workspace's, BadInput for pieces of
        another structure than the knowledge base has.
        """
        ...


class ToolsPort(Protocol):
    """Tools of the workspace. `provider_type`: builtin, api, workflow, mcp, … as the DSL has it. Raises ToolError."""

    async def describe(
        self, provider_type: str, provider: str, tool: str, *, credential_id: str | None = None
    ) -> ToolInfo:
        """What a tool takes and is for; NotFound for one that nothing installed offers."""
        ...

    def invoke(
        self,
        provider_type: str,
        provider: str,
        tool: str,
        parameters: Mapping[str, Any],
        *,
        credential_id: str | None = None,
        key: str = "",
    ) -> AsyncIterator[Any]:
        """The messages of one call (`contracts.tool.ToolMessage`); `key` is the same each time it is made again."""
        ...


class FilesPort(Protocol):
    """Bytes behind file values."""

    async def load(self, file: File) -> bytes:
        """The content; NotFound when it is gone."""
        ...

    async def save(self, data: bytes, *, filename: str, mime_type: str) -> File:
        """Keep bytes that a node made, as a tool file."""
        ...


class SandboxPort(Protocol):
    """Runs user code in the jail."""

    async def execute(self, language: str, code: str, inputs: Mapping[str, Any], *, timeout: float = 15.0) -> Any:
        """What `main` returned. language: python3 or javascript. CodeExecutionError holds the user's traceback."""
        ...


class MemoryPort(Protocol):
    """The conversation so far."""

    async def history(self, conversation_id: str, *, limit: int = 500) -> list[PromptMessage]:
        """User and assistant messages, oldest first, at most `limit` of the newest turns."""
        ...


class DocumentsPort(Protocol):
    """Reads documents as the platform's knowledge bases do."""

    async def texts(self, data: bytes, extension: str) -> list[str]:
        """The texts in their order: one a document, page, slide, chapter or row, as the format has it.

        BadInput with the code `unsupported_file_type` for an extension that is not read, or bytes of something else;
        with another code for a document that is damaged, protected or too costly.
        """
        ...


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a node may reach."""

    models: ModelsPort
    knowledge: KnowledgePort
    tools: ToolsPort
    files: FilesPort
    http: HttpClient
    sandbox: SandboxPort
    memory: MemoryPort
    documents: DocumentsPort
