"""The `document-extractor` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import Delta, Node, NodeConfig, NodeContext, NodeResult
from dify_kernel.errors import DifyError, NodeFailed, PlatformUnavailable
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import File, Value, ValueType

from dify_nodes_document.extraction import extract_text

__all__ = ["DocumentExtractorConfig", "DocumentExtractorNode"]


class DocumentExtractorConfig(NodeConfig, kw_only=True):
    """The file, or the list of files."""

    variable_selector: list[str] = []


class DocumentExtractorNode(Node):
    """Gives the text of a file, or the texts of a list of files in their order (`text`)."""

    type = "document-extractor"
    Config = DocumentExtractorConfig
    config: DocumentExtractorConfig

    def selectors(self) -> list[Selector]:
        """The file or files."""
        return [tuple(self.config.variable_selector)]

    def problems(self) -> list[str]:
        """No file is chosen."""
        return [] if len(self.config.variable_selector) >= 2 else ["No file variable is chosen."]

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The texts; one file that cannot be read fails the node."""
        selector = self.config.variable_selector
        value = ctx.get(selector)
        if value is None:
            raise NodeFailed(f"File variable not found for selector: {selector}", error_type="VariableNotFoundError")
        if value.data and value.type not in (ValueType.FILE, ValueType.ARRAY_FILE):
            raise NodeFailed(f"Variable {selector} is not an ArrayFileSegment", error_type="InvalidVariableTypeError")
        documents = value.data if isinstance(value.data, list) else [value.data]
        record: dict[str, Any] = {
            "inputs": {"variable_selector": selector},
            "process_data": {"documents": documents},
        }
        try:
            texts = [await _text(file, ctx) for file in documents]
        except NodeFailed as exc:
            yield NodeResult.failed(exc, **record)
            return
        text = Value(ValueType.ARRAY_STRING, texts) if isinstance(value.data, list) else texts[0]
        yield NodeResult(outputs={"text": text}, **record)


async def _text(file: Any, ctx: NodeContext) -> str:
    if not isinstance(file, File):
        raise NodeFailed(f"Unsupported variable type: {type(file)}", error_type="DocumentExtractorError")
    try:
        data = await ctx.ports.files.load(file)
    except PlatformUnavailable:
        raise
    except DifyError as exc:
        raise NodeFailed(f"Error downloading file: {exc}", error_type="FileDownloadError") from exc
    return await extract_text(file, data, ctx.ports.documents)
