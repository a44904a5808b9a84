"""Checks what somebody answered to a form, and brings it into the types of the fields."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import FILE_IDENTITY, File, Value, ValueType, infer

from dify_nodes_human.config import FormInput
from dify_nodes_human.form import Form, options

__all__ = ["Submission", "read_submission"]


class Submission(msgspec.Struct, frozen=True):
    """The button that was pressed, and the fields by name."""

    action: str
    fields: dict[str, Any]


def read_submission(form: Form, answer: dict[str, Any], ctx: NodeContext) -> Submission:
    """The answer `{action, inputs}`; NodeFailed when it does not fit. What the form did not ask for is left out."""
    action, given = answer.get("action"), answer.get("inputs")
    if action not in [item.id for item in form.actions]:
        raise _wrong(f"Invalid action: {action}", ctx)
    if not isinstance(given, dict):
        given = {}
    missing = [item.output_variable_name for item in form.inputs if item.output_variable_name not in given]
    if missing:
        raise _wrong(f"Missing required inputs: {', '.join(missing)}", ctx)
    fields = {item.output_variable_name: _field(item, given[item.output_variable_name], ctx) for item in form.inputs}
    return Submission(str(action), fields)


def _field(item: FormInput, value: Any, ctx: NodeContext) -> Any:
    name = item.output_variable_name
    if item.is_text or item.type == "select":
        if not isinstance(value, str):
            raise _wrong(f"The field {name} is not a text.", ctx)
        if item.type == "select" and value not in options(item, ctx):
            raise _wrong(f"The field {name} is none of its options.", ctx)
        return value
    if item.type == "file":
        return _file(item, value, ctx)
    if not isinstance(value, list):
        raise _wrong(f"The field {name} is not a list of files.", ctx)
    if item.number_limits and len(value) > item.number_limits:
        raise _wrong(f"The field {name} takes at most {item.number_limits} files.", ctx)
    return Value(ValueType.ARRAY_FILE, [_file(item, entry, ctx) for entry in value])


def _file(item: FormInput, value: Any, ctx: NodeContext) -> File:
    name = item.output_variable_name
    try:
        file = infer(value).data
    except msgspec.ValidationError as exc:
        raise _wrong(f"The field {name} is not a file: {exc}.", ctx) from exc
    if not isinstance(file, File) or file.dify_model_identity != FILE_IDENTITY:
        raise _wrong(f"The field {name} is not a file.", ctx)
    types, uploads = item.allowed_file_types, item.allowed_file_upload_methods
    if types and not _allowed(item, file):
        raise _wrong(f"The field {name} does not take files of the type {file.type}.", ctx)
    if uploads and file.transfer_method not in uploads:
        raise _wrong(f"The field {name} does not take files that came by {file.transfer_method}.", ctx)
    return file


def _allowed(item: FormInput, file: File) -> bool:
    """Whether a file is of an allowed type, or, where `custom` is one, has an allowed extension."""
    if file.type != "custom" and file.type in item.allowed_file_types:
        return True
    extensions = {f".{extension.lower().lstrip('.')}" for extension in item.allowed_file_extensions}
    return "custom" in item.allowed_file_types and (file.extension or "").lower() in extensions


def _wrong(message: str, ctx: NodeContext) -> NodeFailed:
    return NodeFailed(message, error_type="InvalidFormData", node_id=ctx.node_id)
