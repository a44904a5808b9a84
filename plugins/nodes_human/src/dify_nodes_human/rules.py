"""What is wrong with a form. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dify_nodes_human.config import CONSTANT, UNITS, VARIABLE, FormInput, HumanInputConfig, UserAction

__all__ = ["RESERVED", "TIMEOUT", "form_problems"]

#: The handle that is taken when nobody answers in time.
TIMEOUT = "__timeout"
#: Outputs of the node itself; the last is one of newer versions.
RESERVED = frozenset(("__action_id", "__rendered_content", "__action_value"))

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TYPES = ("text-input", "text_input", "paragraph", "select", "file", "file-list")
_STYLES = ("primary", "default", "accent", "ghost")
_UPLOADS = ("local_file", "remote_url")
LONGEST_ID, LONGEST_TITLE, LONGEST_NAME = 20, 100, 30


def form_problems(config: HumanInputConfig) -> list[str]:
    """One sentence for each thing that is wrong."""
    found = []
    actions, inputs = config.user_actions or [], config.inputs or []
    if not actions:
        found.append("There is no action: nobody could answer.")
    for action in actions:
        found += _of_action(action)
    found += [f"The action id {name!r} is used twice." for name in _twice(action.id for action in actions)]
    for item in inputs:
        found += _of_input(item)
    names = _twice(item.output_variable_name for item in inputs)
    found += [f"The field name {name!r} is used twice." for name in names]
    if config.timeout < 1:
        found.append(f"The timeout {config.timeout} is not a number above 0.")
    if config.timeout_unit not in UNITS:
        found.append(f"The timeout unit {config.timeout_unit!r} is not hour or day.")
    return found


def _of_action(action: UserAction) -> list[str]:
    found = _of_name("action id", action.id, LONGEST_ID)
    if action.id == TIMEOUT:
        found.append(f"The action id {TIMEOUT!r} is reserved.")
    if len(action.title) > LONGEST_TITLE:
        found.append(f"The title of the action {action.id!r} has more than {LONGEST_TITLE} characters.")
    if action.button_style not in _STYLES:
        found.append(f"The button style {action.button_style!r} is not one of {', '.join(_STYLES)}.")
    return found


def _of_input(item: FormInput) -> list[str]:
    name = item.output_variable_name
    found = _of_name("field name", name, LONGEST_NAME)
    if name in RESERVED:
        found.append(f"The field name {name!r} is reserved.")
    if item.type not in _TYPES:
        found.append(f"The field {name!r} has the unknown type {item.type!r}.")
    source = item.source
    if source is not None and source.type not in (CONSTANT, VARIABLE):
        found.append(f"What the field {name!r} begins with is of the unknown type {source.type!r}.")
    if source is not None and source.type == VARIABLE and len(source.selector) < 2:
        found.append(f"The field {name!r} names no variable to begin with.")
    if item.type == "select" and not _has_options(item):
        found.append(f"The field {name!r} has no options.")
    unknown = [method for method in item.allowed_file_upload_methods if method not in _UPLOADS]
    found += [f"The field {name!r} has the unknown upload method {method!r}." for method in unknown]
    if item.number_limits < 0:
        found.append(f"The field {name!r} takes fewer than no files.")
    return found


def _has_options(item: FormInput) -> bool:
    source = item.option_source
    if source is None:
        return False
    listed = isinstance(source.value, list) and bool(source.value) and all(isinstance(x, str) for x in source.value)
    return source.type != CONSTANT or listed


def _of_name(what: str, name: str, longest: int) -> list[str]:
    if not _IDENTIFIER.fullmatch(name):
        return [f"The {what} {name!r} is not a letter or underscore followed by letters, digits and underscores."]
    return [f"The {what} {name!r} has more than {longest} characters."] if len(name) > longest else []


def _twice(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted({name for name in listed if listed.count(name) > 1})
