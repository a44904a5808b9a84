"""The answer node of a chatflow: a text with references, streamed in the order in which it is written."""

from __future__ import annotations

from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import File, Value, markdown

__all__ = ["AnswerConfig", "AnswerNode"]


class AnswerConfig(NodeConfig, kw_only=True):
    """The answer with `{{#node.variable#}}` references."""

    answer: str = ""


class AnswerNode(InlineNode):
    """Gives `answer`, values in their Markdown form, and `files`, every file that it refers to.

    A reference to a missing variable stays as its bare name.
    """

    type = "answer"
    kind = NodeKind.RESPONSE
    Config = AnswerConfig
    config: AnswerConfig

    def __init__(self, node_id: str, config: AnswerConfig) -> None:
        super().__init__(node_id, config)
        self._template = Template(config.answer)

    def selectors(self) -> list[Selector]:
        """The variables in the text."""
        return self._template.selectors

    def pieces(self) -> list[str | Selector]:
        """The text as it streams."""
        return list(self._template.parts)

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The whole answer."""
        out: list[str] = []
        files: list[File] = []
        for part in self._template.parts:
            if isinstance(part, str):
                out.append(part)
                continue
            value = ctx.pool.get(part)
            if value is None:
                out.append(".".join(part))
            else:
                out.append(markdown(value))
                files += _files(value)
        return NodeResult(outputs={"answer": "".join(out), "files": files})


def _files(value: Value) -> list[File]:
    if isinstance(value.data, File):
        return [value.data]
    if isinstance(value.data, list) and value.data and isinstance(value.data[0], File):
        return [item for item in value.data if isinstance(item, File)]
    return []
