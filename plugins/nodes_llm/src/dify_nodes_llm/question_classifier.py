"""The `question-classifier` node: a model chooses one of several categories, and the run takes its edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from dify_kernel.contracts.model import ModelType, PromptMessage, Usage
from dify_kernel.contracts.node import Delta, Node, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.errors import DifyError
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import plain, text
from dify_kernel.prompts import files_of

from dify_nodes_llm.call import WholeAnswer, ask, require_model
from dify_nodes_llm.choice import Category, ask_to_choose, read_choice
from dify_nodes_llm.config import MemoryConfig, ModelConfig, VisionConfig
from dify_nodes_llm.content import record_prompts
from dify_nodes_llm.memory import history_text
from dify_nodes_llm.messages import with_files

__all__ = ["ClassConfig", "ClassifierConfig", "QuestionClassifierNode"]


class ClassConfig(msgspec.Struct, frozen=True):
    """One class: the id is the handle of its edges, the name a template that tells the model what it is."""

    id: str
    name: str = ""


class ClassifierConfig(NodeConfig, kw_only=True):
    """A text, the classes it may belong to, and the model that decides; old exports have `instructions`."""

    query_variable_selector: list[str]
    model: ModelConfig
    classes: list[ClassConfig]
    instruction: str | None = None
    instructions: str | None = None
    memory: MemoryConfig | None = None
    vision: VisionConfig | None = None

    @property
    def guidance(self) -> str:
        """What the author tells the model to go by."""
        return self.instruction or self.instructions or ""


class QuestionClassifierNode(Node):
    """Lets a model choose the class of a text."""

    type = "question-classifier"
    Config = ClassifierConfig
    kind = NodeKind.BRANCH
    config: ClassifierConfig

    def __init__(self, node_id: str, config: ClassifierConfig) -> None:
        super().__init__(node_id, config)
        self.instruction = Template(config.guidance)
        self.names = [Template(item.name) for item in config.classes]
        self.vision = config.vision or VisionConfig()

    def selectors(self) -> list[Selector]:
        """The text, the files, and what the instruction and the names refer to."""
        found = [
            tuple(selector) for selector in (self.config.query_variable_selector, self.vision.selector) if selector
        ]
        for template in (self.instruction, *self.names):
            found += template.selectors
        return found

    def handles(self) -> list[str]:
        """The ids of the classes."""
        return [item.id for item in self.config.classes]

    def problems(self) -> list[str]:
        """No class, a class without an id or with another's, an unknown mode."""
        found = self.config.model.problems()
        if not self.config.classes:
            found.append("There is no class to choose.")
        ids = self.handles()
        if not all(ids):
            found.append("A class has no id.")
        found += [
            f"The class id {name!r} is used twice." for name in sorted({name for name in ids if ids.count(name) > 1})
        ]
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The class; a failed result keeps the inputs and what was used up."""
        inputs: dict[str, Any] = {}
        answer = WholeAnswer()
        try:
            require_model(self.config.model, ctx)
            value = ctx.get(self.config.query_variable_selector)
            inputs["query"] = plain(value.data) if value is not None else None
            categories = [
                Category(item.id, ctx.render(name)) for item, name in zip(self.config.classes, self.names, strict=True)
            ]
            messages = await self._messages(text(value) if value is not None else "", categories, ctx)
            answer = await ask(self.config.model, messages, ctx)
            result = self._result(read_choice(answer.text, categories), inputs, messages, answer)
        except DifyError as exc:
            result = NodeResult.failed(exc, inputs=inputs, usage=_used(answer))
        yield result

    async def _messages(self, query: str, categories: list[Category], ctx: NodeContext) -> list[PromptMessage]:
        model = self.config.model
        info = await ctx.ports.models.describe(model.provider, model.name, ModelType.LLM)
        given: dict[str, Any] = {"instruction": ctx.render(self.instruction), "completes": model.completes}
        bare = ask_to_choose(query, categories, histories="", **given)
        histories = await history_text(self.config.memory, ctx, info, model.parameters, bare)
        messages = ask_to_choose(query, categories, histories=histories, **given) if histories else bare
        return await with_files(messages, files_of(self.vision.selector, ctx), self.vision, info, ctx)

    def _result(
        self, chosen: Category, inputs: dict[str, Any], messages: list[PromptMessage], answer: WholeAnswer
    ) -> NodeResult:
        usage = msgspec.to_builtins(answer.usage)
        process_data = {
            "model_mode": self.config.model.mode,
            "prompts": record_prompts(messages),
            "usage": usage,
            "finish_reason": answer.finish_reason,
            "model_provider": self.config.model.provider,
            "model_name": self.config.model.name,
        }
        return NodeResult(
            inputs=inputs,
            process_data=process_data,
            outputs={"class_name": chosen.category_name, "class_id": chosen.category_id, "usage": usage},
            usage=answer.usage,
            handle=chosen.category_id,
        )


def _used(answer: WholeAnswer) -> Usage | None:
    return answer.usage if answer.usage.total_tokens else None
