"""The form as it is shown: its text with variables filled in, fields with defaults and options, who is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import infer, markdown, text

from dify_nodes_human.config import VARIABLE, FormInput, HumanInputConfig

__all__ = ["Content", "Form"]

_FIELD = re.compile(r"\{\{#\$output\.([a-zA-Z_][a-zA-Z0-9_]{0,29})#\}\}")

#: Parts of a delivery that are templates.
_TEMPLATES = ("subject", "body")


class Content:
    """The text of the form. It is parsed once: nothing in a variable or in an answer is taken for a reference."""

    def __init__(self, source: str) -> None:
        pieces = _FIELD.split(source)
        self.parts = [(Template(piece), "") if index % 2 == 0 else (None, piece) for index, piece in enumerate(pieces)]

    @property
    def selectors(self) -> list[Selector]:
        """The variables that the text refers to."""
        return [selector for template, _ in self.parts if template for selector in template.selectors]

    def render(self, ctx: NodeContext, fields: Mapping[str, Any] | None = None) -> str:
        """The text as Markdown, variables filled in; fields stay as they are until they are given."""
        out = []
        for template, name in self.parts:
            if template is not None:
                out.append(ctx.pool.render(template, as_markdown=True))
            elif fields is None:
                out.append(f"{{{{#$output.{name}#}}}}")
            else:
                out.append(markdown(infer(fields.get(name))))
        return "".join(out)


class Form:
    """What is asked; built once a node."""

    def __init__(self, config: HumanInputConfig) -> None:
        self.config = config
        self.inputs = config.inputs or []
        self.actions = config.user_actions or []
        self.content = Content(config.form_content or "")
        methods = config.delivery_methods or []
        self.deliveries = [method for method in methods if method.get("enabled", True)]
        #: Somebody who uses the app sees the form in it, unless it is sent elsewhere alone.
        self.shown = not methods or any(method.get("type") == "webapp" for method in self.deliveries)

    def selectors(self) -> list[Selector]:
        """The variables of the text, of defaults and options, and of what is sent."""
        found = self.content.selectors
        found += [tuple(item.source.selector) for item in self.inputs if item.source and item.source.type == VARIABLE]
        for method in self.deliveries:
            for template in _templates(method).values():
                found += template.selectors
        return found

    def question(self, ctx: NodeContext) -> dict[str, Any]:
        """All that is needed to show the form, to send it, and to check an answer."""
        resolved = {item.output_variable_name: _default(item, ctx) for item in self.inputs if item.is_text}
        return {
            "form_content": self.content.render(ctx),
            "inputs": [self._input(item, ctx) for item in self.inputs],
            "actions": [msgspec.to_builtins(action) for action in self.actions],
            "resolved_default_values": {name: value for name, value in resolved.items() if value is not None},
            "delivery_methods": [_delivery(method, ctx) for method in self.deliveries],
            "display_in_ui": self.shown,
        }

    def _input(self, item: FormInput, ctx: NodeContext) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "type": item.type,
            "output_variable_name": item.output_variable_name,
            "required": True,
        }
        if item.is_text:
            shown["default"] = msgspec.to_builtins(item.default) if item.default else None
        elif item.type == "select":
            shown["option_source"] = msgspec.to_builtins(item.option_source)
            shown["options"] = options(item, ctx)
        else:
            shown["allowed_file_types"] = item.allowed_file_types
            shown["allowed_file_extensions"] = item.allowed_file_extensions
            shown["allowed_file_upload_methods"] = item.allowed_file_upload_methods
        if item.type == "file-list":
            shown["number_limits"] = item.number_limits
        return shown


def options(item: FormInput, ctx: NodeContext) -> list[str]:
    """What may be chosen in a field; nothing when its variable is missing or no list."""
    source = item.option_source
    if source is None:
        return []
    value = ctx.get(source.selector) if source.type == VARIABLE else None
    found = value.data if value is not None else source.value if source.type != VARIABLE else None
    return [str(option) for option in found] if isinstance(found, list) else []


def _default(item: FormInput, ctx: NodeContext) -> str | None:
    """The text that a field begins with; None when there is none, or its variable is missing."""
    source = item.default
    if source is None:
        return None
    if source.type != VARIABLE:
        return None if source.value is None else str(source.value)
    value = ctx.get(source.selector)
    return None if value is None else text(value)


def _delivery(method: dict[str, Any], ctx: NodeContext) -> dict[str, Any]:
    """One way to tell somebody, its texts filled in; `{{#url#}}` is left to whoever sends it."""
    filled = {name: ctx.render(template) for name, template in _templates(method).items()}
    return {**method, "config": {**method["config"], **filled}} if filled else dict(method)


def _templates(method: dict[str, Any]) -> dict[str, Template]:
    config = method.get("config")
    found = {name: config.get(name) for name in _TEMPLATES} if isinstance(config, dict) else {}
    return {name: Template(source) for name, source in found.items() if isinstance(source, str)}
