"""What callers ask of knowledge pipelines, and what they get back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from dify_kernel.graph.plan import Problem

from dify_host.apps.dsl import CURRENT_VERSION, ImportStatus
from dify_host.apps.needs import Missing
from dify_host.apps.old_forms.rule import Change

__all__ = ["ExecutionLog", "IconInfo", "PipelineImport", "PipelineStart", "Template"]


class IconInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How a knowledge base and its templates are drawn."""

    icon_type: str = "emoji"
    icon: str = "\N{ORANGE BOOK}"
    icon_background: str | None = "#FFF4ED"
    icon_url: str | None = None


class PipelineImport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an import; `pending` and `missing` as with apps."""

    id: str
    status: ImportStatus
    pipeline_id: str | None = None
    dataset_id: str | None = None
    current_dsl_version: str = CURRENT_VERSION
    imported_dsl_version: str = ""
    error: str = ""
    warnings: list[Problem] = []
    missing: list[Missing] = []
    missing_plugins: list[str] = []
    changes: list[Change] = []


class PipelineStart(msgspec.Struct, frozen=True, kw_only=True):
    """What to run a pipeline on: items of one source, and the values of the form."""

    datasource_type: str
    datasource_info_list: list[dict[str, Any]]
    start_node_id: str
    inputs: dict[str, Any] = {}


class ExecutionLog(msgspec.Struct, frozen=True, kw_only=True):
    """What one run over a document is given; its id is that of the run."""

    id: str
    pipeline_id: str
    document_id: str
    datasource_type: str
    datasource_info: dict[str, Any]
    datasource_node_id: str
    input_data: dict[str, Any] | None
    created_by: str | None


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline to begin with, as the workspace has kept it."""

    id: str
    name: str
    description: str | None
    chunk_structure: str
    icon: dict[str, Any] | None
    position: int
    yaml_content: str
    language: str
    created_by: str
    created_at: datetime
