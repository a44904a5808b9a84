"""The form of a pipeline: what is asked for to choose from a source, and what for the work that follows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.inputs import InputVariable, prepare_inputs

from dify_host.apps.records import WorkflowRecord
from dify_host.apps.sharing import node_data

__all__ = [
    "SHARED",
    "first_step",
    "form_values",
    "index_settings_of",
    "second_step",
    "source_node",
    "source_parameters",
]

SHARED: Final = "shared"
"""What a field belongs to that is the same for all sources."""
_SAME: Final = (
    *("variable", "label", "type", "required", "max_length", "options"),
    *("allowed_file_types", "allowed_file_extensions", "allowed_file_upload_methods"),
)
Field = dict[str, Any]


def source_node(record: WorkflowRecord, node_id: str, kind: str | None = None) -> dict[str, Any]:
    """The data of a source of the pipeline; NotFound, and BadInput for a node or a kind of source that it is not."""
    data = dict(node_data(record.graph)).get(node_id)
    if data is None:
        raise NotFound("Datasource node data not found", node_id=node_id)
    if data.get("type") != "datasource":
        raise BadInput(f"The node {node_id!r} is no data source.", field="start_node_id")
    known = data.get("provider_type")
    if kind is not None and known and kind != known:
        raise BadInput(f"The source {node_id!r} is of the type {known}, not {kind}.", field="datasource_type")
    return data


def first_step(record: WorkflowRecord, node_id: str) -> list[Field]:
    """The fields that the choice of a source needs: those that its parameters read."""
    named = _named(source_node(record, node_id))
    return [field for field in record.rag_pipeline_variables if field["variable"] in named]


def second_step(record: WorkflowRecord, node_id: str) -> list[Field]:
    """The fields of the work on what was chosen: the source's own and the shared ones, without the first step's."""
    named = _named(source_node(record, node_id))
    mine = (node_id, SHARED)
    return [
        field
        for field in record.rag_pipeline_variables
        if field["belong_to_node_id"] in mine and field["variable"] not in named
    ]


def form_values(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What nodes find under `rag`: by owner and name the checked value of every field; BadInput names a wrong one."""
    checked = prepare_inputs([_variable(field) for field in fields], given)
    found: dict[str, dict[str, Any]] = {}
    for field in fields:
        found.setdefault(field["belong_to_node_id"], {})[field["variable"]] = checked[field["variable"]]
    return found


def source_parameters(record: WorkflowRecord, node_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a source, with the checked values of the first step in the place of what names them."""
    values = prepare_inputs([_variable(field) for field in first_step(record, node_id)], given)
    found = {}
    for name, parameter in _parameters(source_node(record, node_id)).items():
        variable = _variable_of(parameter)
        found[name] = values.get(variable) if variable else parameter.get("value")
    return found


def index_settings_of(graph: Mapping[str, Any]) -> dict[str, Any] | None:
    """The data of the `knowledge-index` node; None without one."""
    return next((data for _, data in node_data(graph) if data.get("type") == "knowledge-index"), None)


def _named(data: Mapping[str, Any]) -> set[str]:
    return {name for parameter in _parameters(data).values() if (name := _variable_of(parameter))}


def _parameters(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    parameters = data.get("datasource_parameters")
    items = parameters.items() if isinstance(parameters, dict) else ()
    return {str(name): item for name, item in items if isinstance(item, dict)}


def _variable_of(parameter: Mapping[str, Any]) -> str:
    """The field that a parameter is: `{{#rag.NODE.NAME#}}`, or a selector that ends in its name; "" for a constant."""
    value = parameter.get("value")
    if isinstance(value, list) and value:
        return str(value[-1])
    if isinstance(value, str) and value.startswith("{{#") and value.endswith("#}}"):
        return value[3:-3].rpartition(".")[2]
    return ""


def _variable(field: Field) -> InputVariable:
    values = {name: field[name] for name in _SAME if field.get(name) is not None}
    try:
        return msgspec.convert({**values, "default": field.get("default_value")}, InputVariable, strict=False)
    except msgspec.ValidationError as exc:
        name = field["variable"]
        raise BadInput(f"The field {name!r} of the pipeline's form cannot be read: {exc}.", variable=name) from exc
