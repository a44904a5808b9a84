"""The `datasource` node: the start of a knowledge pipeline."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, FileTransfer

__all__ = ["DatasourceConfig", "DatasourceNode"]

_FILES = ("local_file", "online_drive")
_PAGES = ("website_crawl", "online_document")
#: What a mapping may say of its file; of whose workspace and of what type it is, is not for the caller to say.
_FILE_FIELDS = ("transfer_method", "related_id", "filename", "mime_type", "size", "url", "remote_url")


class DatasourceConfig(NodeConfig, kw_only=True):
    """Which source the form is for. What a run is about comes with the run."""

    plugin_id: str | None = None
    provider_name: str | None = None
    provider_type: str | None = None
    datasource_name: str | None = None
    datasource_parameters: dict[str, Any] | None = None
    datasource_configurations: dict[str, Any] | None = None


class DatasourceNode(InlineNode):
    """Gives what the run is about: a file (`file`), or the fields of a page; and the kind of source."""

    type = "datasource"
    kind = NodeKind.ROOT
    Config = DatasourceConfig
    config: DatasourceConfig

    def problems(self) -> list[str]:
        """An unknown kind of source."""
        kind = self.config.provider_type
        known = (*_FILES, *_PAGES)
        return [] if kind in (None, *known) else [f"The kind of source {kind!r} is not one of {', '.join(known)}."]

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """What `sys.datasource_info` says, in the form of its `sys.datasource_type`."""
        kind, info = ctx.get(("sys", "datasource_type")), ctx.get(("sys", "datasource_info"))
        if kind is None or not kind.data:
            raise _failed("Datasource type is not set")
        if info is None or not info.data:
            raise _failed("Datasource info is not set")
        if not isinstance(info.data, dict | File):
            raise _failed("Invalid datasource info format")
        outputs = {**_outputs(str(kind.data), info.data, ctx), "datasource_type": kind.data}
        shown = info.data if isinstance(info.data, dict) else msgspec.to_builtins(info.data)
        return NodeResult(inputs=shown, outputs=outputs, metadata={"datasource_info": shown})


def _outputs(kind: str, info: dict[str, Any] | File, ctx: NodeContext) -> dict[str, Any]:
    if kind in _FILES:
        return {"file": info if isinstance(info, File) else _file(info, ctx)}
    if kind not in _PAGES or isinstance(info, File):
        raise _failed(f"Unsupported datasource provider: {kind}")
    if kind == "online_document" and "content" not in info:
        raise NodeFailed(
            "The page of the online document was not read.",
            hint="No installed plugin reads online documents: give the text as `content` in datasource_info.",
            error_type="DatasourceNodeError",
        )
    return dict(info)


def _file(info: dict[str, Any], ctx: NodeContext) -> File:
    """The file that the mapping describes; one of an online drive must have been brought here first."""
    if not info.get("related_id"):
        raise _failed("File is not exist")
    extension = str(info.get("extension") or "").removeprefix(".")
    given = {
        "transfer_method": FileTransfer.LOCAL_FILE,
        "filename": info.get("name"),
        **{name: info[name] for name in _FILE_FIELDS if info.get(name) is not None},
        "extension": f".{extension}" if extension else None,
        "tenant_id": ctx.run.tenant_id,
    }
    try:
        return msgspec.convert(given, File, strict=False)
    except msgspec.ValidationError as exc:
        raise _failed(f"Invalid datasource info format: {exc}") from exc


def _failed(message: str) -> NodeFailed:
    return NodeFailed(message, error_type="DatasourceNodeError")
