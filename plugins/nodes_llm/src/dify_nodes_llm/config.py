"""The `data` of an `llm` node as structs; lenient where exports differ."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig, VariableSelector

__all__ = [
    "ContextConfig",
    "LLMConfig",
    "MemoryConfig",
    "ModelConfig",
    "PromptConfig",
    "PromptItem",
    "RolePrefix",
    "VisionConfig",
    "VisionSettings",
    "WindowConfig",
]


class ModelConfig(msgspec.Struct, frozen=True):
    """Which model, and its parameters; `stop` among them becomes stop words."""

    provider: str = ""
    name: str = ""
    mode: str = "chat"
    completion_params: dict[str, Any] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What is sent to the model: parameters that have a value, without the stop words."""
        given = (self.completion_params or {}).items()
        return {name: value for name, value in given if value is not None and name != "stop"}

    @property
    def stop(self) -> list[str]:
        """The stop words."""
        found = (self.completion_params or {}).get("stop") or []
        return [found] if isinstance(found, str) else list(found)

    @property
    def completes(self) -> bool:
        """Whether the model goes on with one text, and takes no messages."""
        return self.mode == "completion"

    def problems(self) -> list[str]:
        """An unknown mode."""
        known = self.mode in ("chat", "completion")
        return [] if known else [f"The model mode {self.mode!r} is not chat or completion."]


class PromptItem(msgspec.Struct, frozen=True):
    """One message of a chat prompt, or a whole completion prompt (then the role does not count)."""

    role: str = "user"
    text: str | None = None
    edition_type: str | None = None
    jinja2_text: str | None = None

    @property
    def is_jinja(self) -> bool:
        """Whether `jinja2_text` is the template, not `text`."""
        return self.edition_type == "jinja2"


class PromptConfig(msgspec.Struct, frozen=True):
    """What jinja2 texts see."""

    jinja2_variables: list[VariableSelector] | None = None


class RolePrefix(msgspec.Struct, frozen=True):
    """How speakers are named in the history of a completion prompt."""

    user: str = ""
    assistant: str = ""


class WindowConfig(msgspec.Struct, frozen=True):
    """How many turns are remembered, the one being answered included."""

    enabled: bool = False
    size: int | None = None


class MemoryConfig(msgspec.Struct, frozen=True):
    """The conversation in the prompt, and the template of the question that follows it."""

    role_prefix: RolePrefix | None = None
    window: WindowConfig | None = None
    query_prompt_template: str | None = None

    @property
    def turns(self) -> int | None:
        """The size of the window; None when all turns are remembered."""
        return self.window.size if self.window and self.window.enabled else None


class ContextConfig(msgspec.Struct, frozen=True):
    """The variable that `{{#context#}}` stands for."""

    enabled: bool = False
    variable_selector: list[str] | None = None


class VisionSettings(msgspec.Struct, frozen=True):
    """Which files the model sees, and in what detail."""

    variable_selector: list[str] | None = None
    detail: str | None = None


class VisionConfig(msgspec.Struct, frozen=True):
    """Whether the model sees files."""

    enabled: bool = False
    configs: VisionSettings | None = None

    @property
    def selector(self) -> list[str]:
        """The files that the model sees; empty when it sees none."""
        if not self.enabled:
            return []
        return (self.configs.variable_selector if self.configs else None) or ["sys", "files"]

    @property
    def detail(self) -> str | None:
        """In what detail it sees pictures."""
        return self.configs.detail if self.configs else None


class LLMConfig(NodeConfig, kw_only=True):
    """A model, a prompt (a list of messages, or one text), and what goes with it."""

    model: ModelConfig
    prompt_template: list[PromptItem] | PromptItem = []
    prompt_config: PromptConfig | None = None
    memory: MemoryConfig | None = None
    context: ContextConfig | None = None
    vision: VisionConfig | None = None
    structured_output_enabled: bool | None = None
    structured_output: dict[str, Any] | None = None
    reasoning_format: str | None = None

    @property
    def structured(self) -> bool:
        """Whether the answer is bound to a schema: switched on, and not without any description of one."""
        return bool(self.structured_output_enabled) and self.structured_output is not None

    @property
    def prompts(self) -> list[PromptItem]:
        """The prompt as a list, whichever form it has."""
        return self.prompt_template if isinstance(self.prompt_template, list) else [self.prompt_template]

    @property
    def jinja_variables(self) -> list[VariableSelector]:
        """What jinja2 texts see; empty when nothing is declared."""
        return (self.prompt_config.jinja2_variables if self.prompt_config else None) or []

    @property
    def vision_selector(self) -> list[str]:
        """The files that the model sees; empty when it sees none."""
        return self.vision.selector if self.vision else []

    @property
    def context_selector(self) -> list[str]:
        """The context variable; empty when there is none."""
        return (self.context.variable_selector or []) if self.context and self.context.enabled else []
