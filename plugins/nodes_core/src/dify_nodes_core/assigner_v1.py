"""The first version of the variable assigner: one conversation variable, over-written, appended to or cleared."""

from __future__ import annotations

from typing import Final

from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value

from dify_nodes_core.assignment import AssignerError, apply, fits, invalid, operation_fits, updated_record

__all__ = ["AssignerV1Config", "AssignerV1Node"]

MODES: Final = ("over-write", "append", "clear")


class AssignerV1Config(NodeConfig, kw_only=True):
    """What is written, how, and from where; `clear` needs no source."""

    assigned_variable_selector: list[str]
    write_mode: str = "over-write"
    input_variable_selector: list[str] | None = None


class AssignerV1Node(InlineNode):
    """Writes one variable; a null source leaves it alone."""

    type = "assigner"
    version = "1"
    Config = AssignerV1Config
    config: AssignerV1Config

    def __init__(self, node_id: str, config: AssignerV1Config) -> None:
        super().__init__(node_id, config)
        self._target: Selector = tuple(config.assigned_variable_selector[:2])
        self._source: Selector = tuple(config.input_variable_selector or ())

    def selectors(self) -> list[Selector]:
        """The target and the source."""
        return [self._target, self._source] if len(self._source) >= 2 else [self._target]

    def writes(self) -> list[Selector]:
        """The target."""
        return [self._target]

    def problems(self) -> list[str]:
        """No target, no source, or an unknown mode."""
        found = []
        if len(self._target) < 2:
            found.append("`assigned_variable_selector` names no variable to write.")
        if self.config.write_mode not in MODES:
            found.append(f"The write mode {self.config.write_mode!r} is unknown; there are {', '.join(MODES)}.")
        elif self.config.write_mode != "clear" and len(self._source) < 2:
            found.append("`input_variable_selector` names no variable to read.")
        return found

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The new value as an update; `inputs` shows what was written from."""
        old = ctx.pool.get(self._target)
        if old is None:
            raise AssignerError("assigned variable not found", "VariableOperatorNodeError")
        if self.config.write_mode == "clear":
            new = apply(old, "clear", None)
            return self._result(new.data, new)
        source = ctx.pool.get(self._source)
        if source is None:
            raise AssignerError("input value not found", "VariableOperatorNodeError")
        if source.data is None:
            return NodeResult(inputs={"value": None})
        return self._result(source.data, self._compute(old, source))

    def _result(self, shown: object, new: Value) -> NodeResult:
        return NodeResult(
            inputs={"value": shown},
            process_data={"__updated_variables": [updated_record(list(self._target), new)]},
            updates=[(self._target, new)],
        )

    def _compute(self, old: Value, source: Value) -> Value:
        mode = self.config.write_mode
        if not operation_fits(old.type, mode):
            raise AssignerError(
                f"Operation {mode} is not supported for type {old.type.value}", "OperationNotSupportedError"
            )
        if not fits(old.type, mode, source.data):
            raise invalid(source.data)
        return apply(old, mode, source.data)
