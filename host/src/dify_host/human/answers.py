"""Checks an answer against its form before the run goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.values import File

from dify_host.files.rules import FileRules, check_files
from dify_host.human.errors import InvalidFormData
from dify_host.human.records import Form

__all__ = ["FileFinder", "Submission", "check_answer"]

_TEXTS: Final = ("text-input", "text_input", "paragraph")
_FILE, _FILES, _SELECT = "file", "file-list", "select"
_METHODS: Final = ("local_file", "remote_url")


class FileFinder(Protocol):
    """Finds the file that a part of an answer names; BadInput when there is none that may be named here."""

    async def __call__(self, mapping: Mapping[str, Any]) -> File:
        """The file as a value."""
        ...


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody sent: the button that they pressed, and the fields by name."""

    action: str
    inputs: dict[str, Any]


async def check_answer(form: Form, given: Submission, find: FileFinder, *, longest: int) -> dict[str, Any]:
    """The fields as they are kept, files as values; InvalidFormData for what does not fit.

    Every field has to be there, unless it says that it is not required; a text has at most `longest` bytes.
    """
    if given.action not in [action.get("id") for action in form.actions]:
        raise InvalidFormData(f"Invalid action: {given.action}", field="action")
    fields = {str(item.get("output_variable_name")): item for item in form.inputs}
    missing = [name for name, item in fields.items() if name not in given.inputs and item.get("required", True)]
    if missing:
        raise InvalidFormData(f"Missing required inputs: {', '.join(missing)}", field=missing[0])
    unknown = sorted(given.inputs.keys() - fields.keys())
    if unknown:
        raise InvalidFormData(f"Unknown inputs: {', '.join(unknown)}", field=unknown[0])
    return {name: await _value(fields[name], name, value, find, longest) for name, value in given.inputs.items()}


async def _value(item: dict[str, Any], name: str, value: Any, find: FileFinder, longest: int) -> Any:
    kind = item.get("type")
    if kind in (*_TEXTS, _SELECT):
        return _text(item, name, value, longest)
    if kind == _FILE:
        return (await _files(item, name, [value], find))[0]
    if kind == _FILES:
        if not isinstance(value, list):
            raise InvalidFormData(f"{name} is a list of files.", field=name)
        return await _files(item, name, value, find)
    if len(msgspec.json.encode(value)) > longest:
        raise InvalidFormData(f"{name} has more than {longest} bytes.", field=name)
    return value


def _text(item: dict[str, Any], name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise InvalidFormData(f"{name} is a text.", field=name)
    if len(value.encode("utf-8", "replace")) > longest:
        raise InvalidFormData(f"{name} has more than {longest} bytes.", field=name)
    if item.get("type") == _SELECT and value not in (item.get("options") or []):
        raise InvalidFormData(f"{name} is none of its options.", field=name)
    return value


async def _files(item: dict[str, Any], name: str, given: list[Any], find: FileFinder) -> list[Any]:
    rules = FileRules(
        types=item.get("allowed_file_types") or (),
        extensions=item.get("allowed_file_extensions") or (),
        methods=item.get("allowed_file_upload_methods") or _METHODS,
        number=item.get("number_limits") or None,
    )
    found = []
    for mapping in given:
        if not isinstance(mapping, Mapping) or mapping.get("transfer_method") not in _METHODS:
            hint = "Name it by `transfer_method` and `upload_file_id` or `url`."
            raise InvalidFormData(f"{name} is no file.", hint=hint, field=name)
        try:
            found.append(await find(mapping))
        except BadInput as exc:
            raise InvalidFormData(f"{name}: {exc.description}", field=name) from exc
    try:
        check_files(rules, found)
    except BadInput as exc:
        raise InvalidFormData(f"{name}: {exc.description}", field=name) from exc
    return [msgspec.to_builtins(file) for file in found]
