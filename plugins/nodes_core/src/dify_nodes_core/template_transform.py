"""The template node: variables through a Jinja2 template, in the process, in a sandbox with a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult, VariableSelector
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value, ValueType, plain

if TYPE_CHECKING:
    from dify_kernel.templates.sandbox import CompiledTemplate

__all__ = ["TemplateTransformConfig", "TemplateTransformNode"]

#: Types whose data is JSON already.
_READY: Final = frozenset(
    (
        ValueType.NONE,
        ValueType.STRING,
        ValueType.SECRET,
        ValueType.INTEGER,
        ValueType.FLOAT,
        ValueType.NUMBER,
        ValueType.BOOLEAN,
        ValueType.ARRAY_STRING,
        ValueType.ARRAY_NUMBER,
        ValueType.ARRAY_BOOLEAN,
    )
)


class TemplateTransformConfig(NodeConfig, kw_only=True):
    """A template and the variables that it may use."""

    template: str = ""
    variables: list[VariableSelector] | None = None


class TemplateTransformNode(InlineNode):
    """Gives `output`, the rendered text; a missing variable is None, files are objects."""

    type = "template-transform"
    Config = TemplateTransformConfig
    config: TemplateTransformConfig

    def __init__(self, node_id: str, config: TemplateTransformConfig) -> None:
        super().__init__(node_id, config)
        self._variables = [(item.variable, tuple(item.value_selector)) for item in config.variables or []]
        #: A template without tags is its own output; anything else is compiled when it first runs.
        text = config.template
        self._literal = "{" not in text and "\r" not in text and not text.endswith("\n")
        self._compiled: CompiledTemplate | None = None

    def selectors(self) -> list[Selector]:
        """The variables."""
        return [selector for _, selector in self._variables if len(selector) >= 2]

    def problems(self) -> list[str]:
        """Variables without a name."""
        return ["A variable has no name."] if any(not name for name, _ in self._variables) else []

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The text; NodeFailed when the template is wrong or goes over its limits."""
        inputs: dict[str, Any] = {}
        for name, selector in self._variables:
            inputs[name] = _given(ctx.pool.get(selector))
        text = self.config.template
        limit = ctx.limits.template_transform_max_length
        if not self._literal or len(text) > limit:
            text = self._template().render(inputs, max_length=limit, seed=ctx.key)
        return NodeResult(outputs={"output": text}, inputs=inputs)

    def _template(self) -> CompiledTemplate:
        if self._compiled is None:
            from dify_kernel.templates import compile_template

            self._compiled = compile_template(self.config.template)
        return self._compiled


def _given(value: Value | None) -> Any:
    if value is None:
        return None
    return value.data if value.type in _READY else plain(value.data)
