"""The `data` of an `agent` node, and what it says once its variables are filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig, NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, template_selectors

__all__ = ["AgentConfig", "Given", "Job", "ModelChoice", "ToolChoice", "read_job", "resolve"]

#: Rounds with tools when the node does not say, and at most.
ITERATIONS = 10
MOST_ITERATIONS = 99


class Given(msgspec.Struct, frozen=True):
    """Where a parameter comes from: a value with templates in it, or a selector."""

    type: str = "constant"
    value: Any = None


class WindowConfig(msgspec.Struct, frozen=True):
    """How many turns are remembered, the one being answered included."""

    enabled: bool = False
    size: int | None = None


class MemoryConfig(msgspec.Struct, frozen=True):
    """The conversation in the prompt."""

    window: WindowConfig | None = None

    @property
    def turns(self) -> int | None:
        """The size of the window; None when all turns are remembered."""
        return self.window.size if self.window and self.window.enabled else None


class VisionSettings(msgspec.Struct, frozen=True):
    """Which files the model sees, and in what detail."""

    variable_selector: list[str] | None = None
    detail: str | None = None


class VisionConfig(msgspec.Struct, frozen=True):
    """Whether the model sees files."""

    enabled: bool = False
    configs: VisionSettings | None = None


class AgentConfig(NodeConfig, kw_only=True):
    """A strategy and its parameters; `vision` is what the graphs of agent apps say, nodes of the canvas do not."""

    agent_strategy_provider_name: str = ""
    agent_strategy_name: str = ""
    agent_strategy_label: str | None = None
    agent_parameters: dict[str, Given | None] | None = None
    memory: MemoryConfig | None = None
    vision: VisionConfig | None = None

    @property
    def given(self) -> dict[str, Given]:
        """The parameters that are there."""
        return {name: given for name, given in (self.agent_parameters or {}).items() if given is not None}

    @property
    def vision_selector(self) -> list[str]:
        """The files that the model sees; empty when it sees none."""
        if self.vision is None or not self.vision.enabled:
            return []
        settings = self.vision.configs
        return (settings.variable_selector if settings else None) or ["sys", "files"]

    def selectors(self) -> list[Selector]:
        """Every variable that a parameter reads, however deep inside."""
        found = [found for given in self.given.values() for found in _selectors(given.type, given.value)]
        return [*found, *([tuple(self.vision_selector)] if self.vision_selector else [])]


class ModelChoice(msgspec.Struct, frozen=True):
    """The model that thinks; `stop` among the parameters becomes stop words."""

    provider: str = ""
    model: str = ""
    mode: str = "chat"
    completion_params: dict[str, Any] | None = None

    def parameters(self) -> tuple[dict[str, Any], list[str]]:
        """The parameters that have a value, and the stop words."""
        given = {name: value for name, value in (self.completion_params or {}).items() if value is not None}
        stop = given.pop("stop", [])
        return given, [stop] if isinstance(stop, str) else list(stop)


class ToolChoice(msgspec.Struct, frozen=True):
    """One tool of the list.

    `parameters` are left to the model unless they say `auto: 0`; `settings` are the builder's.
    """

    provider_name: str = ""
    tool_name: str = ""
    type: str = "builtin"
    enabled: bool = False
    tool_label: str | None = None
    parameters: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    credential_id: str | None = None

    @property
    def place(self) -> str:
        """How an error names it."""
        return f"{self.provider_name}/{self.tool_name}"

    @property
    def description(self) -> str:
        """What the builder tells the model about it; "" for the tool's own words."""
        return str((self.extra or {}).get("description") or "")

    def manual(self) -> dict[str, Any]:
        """The parameters that the builder filled in."""
        found = {name: _manual(value) for name, value in (self.parameters or {}).items()}
        return {name: value for name, value in found.items() if value is not None}

    def configured(self) -> dict[str, Any]:
        """The settings that have a value."""
        bare = {name: _bare(value) for name, value in (self.settings or {}).items()}
        return {name: value for name, value in bare.items() if value not in (None, "")}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is asked to do. `prompt` replaces the instructions of ReAct when it is given."""

    model: ModelChoice
    query: str
    instruction: str = ""
    tools: list[ToolChoice] = []
    maximum_iterations: int = ITERATIONS
    context: Any = None
    prompt: str = ""


def read_job(values: Mapping[str, Any], ctx: NodeContext) -> Job:
    """The job that resolved parameters describe; NodeFailed for one that cannot be read."""
    try:
        tools = msgspec.convert(values.get("tools") or [], list[ToolChoice], strict=False)
        model = msgspec.convert(values.get("model") or {}, ModelChoice, strict=False)
    except msgspec.ValidationError as exc:
        raise _unreadable(f"The model or a tool of the agent cannot be read: {exc}.", ctx) from exc
    if not model.model:
        raise NodeFailed("The agent has no model.", error_type="ModelNotExistError", node_id=ctx.node_id)
    return Job(
        model=model,
        query=_text(values.get("query")),
        instruction=_text(values.get("instruction")),
        tools=[tool for tool in tools if tool.enabled],
        maximum_iterations=_iterations(values.get("maximum_iterations"), ctx),
        context=values.get("context"),
        prompt=_text(values.get("prompt")),
    )


def resolve(config: AgentConfig, ctx: NodeContext) -> dict[str, Any]:
    """The parameters with their variables filled in; NodeFailed for a variable that does not exist."""
    return {name: _filled(given.type, given.value, ctx) for name, given in config.given.items()}


def _filled(kind: str, value: Any, ctx: NodeContext) -> Any:
    if kind == "variable" and isinstance(value, list):
        return ctx.require([str(part) for part in value]).data
    if isinstance(value, str):
        return ctx.render(value)
    if isinstance(value, list):
        return [_filled("mixed", item, ctx) for item in value]
    if isinstance(value, dict):
        if value.get("type") == "variable" and isinstance(value.get("value"), list):
            return {**value, "type": "constant", "value": _filled("variable", value["value"], ctx)}
        return {name: item if name == "schemas" else _filled("mixed", item, ctx) for name, item in value.items()}
    return value


def _selectors(kind: str, value: Any) -> Iterator[Selector]:
    """What `_filled` reads."""
    if kind == "variable" and isinstance(value, list):
        yield tuple(str(part) for part in value)
    elif isinstance(value, str):
        yield from template_selectors(value)
    elif isinstance(value, list):
        for item in value:
            yield from _selectors("mixed", item)
    elif isinstance(value, dict):
        if value.get("type") == "variable" and isinstance(value.get("value"), list):
            yield from _selectors("variable", value["value"])
            return
        for name, item in value.items():
            if name != "schemas":
                yield from _selectors("mixed", item)


def _manual(value: Any) -> Any:
    """What the builder gave for a parameter; None leaves it to the model."""
    if not isinstance(value, dict) or "auto" not in value:
        return _bare(value) if value != "" else None
    return None if value["auto"] else _bare(value.get("value"))


def _bare(value: Any) -> Any:
    """A value out of its `{type, value}` wrappings."""
    while isinstance(value, dict) and "value" in value and value.keys() <= {"type", "value"}:
        value = value["value"]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def _iterations(value: Any, ctx: NodeContext) -> int:
    if value in (None, ""):
        return ITERATIONS
    try:
        return min(max(int(float(value)), 1), MOST_ITERATIONS)
    except (TypeError, ValueError, OverflowError) as exc:
        raise _unreadable(f"maximum_iterations must be a number, not {value!r}.", ctx) from exc


def _unreadable(message: str, ctx: NodeContext) -> NodeFailed:
    return NodeFailed(message, error_type="AgentInputError", node_id=ctx.node_id)
