"""Prompt templates: parsed once when the node is built, filled in at each run."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import File, plain, text
from dify_kernel.templates import compile_template

from dify_nodes_llm.config import LLMConfig, PromptItem

__all__ = ["CONTEXT", "Filled", "PromptText", "Prompts"]

#: `{{#context#}}` in a prompt: only this inner part is replaced, so that the outer braces stay around the context.
CONTEXT = "{#context#}"


class _ContextMark:
    """The place of the context inside a parsed text."""


class Filled(msgspec.Struct, frozen=True):
    """A text with its variables filled in, and the files that it referred to."""

    text: str
    files: list[File] = []


class PromptText:
    """One text with references. The context is put in last: references inside it stay as they are."""

    def __init__(self, source: str) -> None:
        self.parts: list[str | Selector | _ContextMark] = []
        for index, piece in enumerate(source.split(CONTEXT)):
            if index:
                self.parts.append(_ContextMark())
            self.parts += Template(piece).parts

    @property
    def selectors(self) -> list[Selector]:
        """The variables that the text refers to."""
        return [part for part in self.parts if isinstance(part, tuple)]

    def fill(self, ctx: NodeContext, context: str = "") -> Filled:
        """The text; NodeFailed names a variable that does not exist. Files give no text."""
        out: list[str] = []
        files: list[File] = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, _ContextMark):
                out.append(context or CONTEXT)
            else:
                value = ctx.require(part)
                out.append(text(value))
                data = value.data if isinstance(value.data, list) else [value.data]
                files += [item for item in data if isinstance(item, File)]
        return Filled("".join(out), files)


class Prompts:
    """The messages of a node's prompt with their roles, and the template of the question that follows the history."""

    def __init__(self, config: LLMConfig) -> None:
        self.config = config
        self.items = [(item, None if item.is_jinja else PromptText(item.text or "")) for item in config.prompts]
        template = config.memory.query_prompt_template if config.memory else None
        self.query = PromptText(template) if template else None

    @property
    def selectors(self) -> list[Selector]:
        """Every variable of the prompt."""
        found = [selector for _, prompt in self.items if prompt for selector in prompt.selectors]
        found += self.query.selectors if self.query else []
        if any(item.is_jinja for item, _ in self.items):
            found += [tuple(item.value_selector) for item in self.config.jinja_variables]
        return found

    def fill(self, ctx: NodeContext, context: str) -> list[tuple[PromptItem, Filled]]:
        """Every message of the prompt."""
        return [(item, prompt.fill(ctx, context) if prompt else self._jinja(item, ctx)) for item, prompt in self.items]

    def fill_query(self, ctx: NodeContext) -> Filled:
        """The question: its template, or what the user asked as it stands."""
        if self.query:
            return self.query.fill(ctx)
        value = ctx.get(("sys", "query"))
        return Filled(text(value) if value is not None else "")

    def _jinja(self, item: PromptItem, ctx: NodeContext) -> Filled:
        variables: dict[str, Any] = {}
        for variable in self.config.jinja_variables:
            value = ctx.get(variable.value_selector)
            variables[variable.variable] = "" if value is None else plain(value)
        try:
            template = compile_template(item.jinja2_text or "")
            limit = ctx.limits.template_transform_max_length
            return Filled(template.render(variables, max_length=limit, seed=ctx.key))
        except NodeFailed as exc:
            exc.where.setdefault("node_id", ctx.node_id)
            raise
