"""Programs: what a published app compiles to once and all its runs share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.inputs import InputType, InputVariable
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.registry import Registry

from dify_host.apps.records import ModelConfig, Variable, WorkflowRecord
from dify_host.runs.basic import basic_graph

__all__ = ["ROOT_FORMS", "Program", "Programs"]

#: What a basic app's configuration says beside its prompt and model; workflows have the same under `features`.
_FEATURES: Final = (
    *("external_data_tools", "file_upload", "retriever_resource", "sensitive_word_avoidance", "speech_to_text"),
    *("suggested_questions_after_answer", "text_to_speech", "user_input_form"),
)


#: What roots take that no person fills in.
ROOT_FORMS: Final[dict[str, list[InputVariable]]] = {
    "trigger-webhook": [InputVariable(variable="webhook_data", type=InputType.JSON_OBJECT)],
    "datasource": [],
}


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled app version. `source_id` is the workflow's or the configuration's id.

    `graph` is that of a draft, which will be another by the time somebody asks for it again.
    """

    source_id: str
    version: str
    plan: Plan
    output_map: OutputMap
    root_id: str
    form: list[InputVariable]
    features: dict[str, Any]
    environment_variables: list[Variable] = []
    conversation_variables: list[Variable] = []
    model: dict[str, Any] = {}
    is_workflow: bool = True
    graph: dict[str, Any] | None = None

    @property
    def is_agent(self) -> bool:
        """Whether an agent answers, in an app without a workflow."""
        return not self.is_workflow and any(node.type == "agent" for node in self.plan.nodes)

    @property
    def shows_citations(self) -> bool:
        """Whether the app hands its citations to clients."""
        wanted = self.features.get("retriever_resource") or {}
        return bool(wanted.get("enabled", True))


class Programs:
    """Compiles and keeps programs; published versions never change, so their id is the whole key."""

    def __init__(self, registry: Registry, *, size: int = 256) -> None:
        self._registry = registry
        self._kept: OrderedDict[tuple[str, str, str], Program] = OrderedDict()
        self._size = size

    def workflow(self, record: WorkflowRecord, *, root_id: str | None = None) -> Program:
        """The program of one version; InvalidGraph with every problem when it cannot run.

        `root_id` names the trigger that starts it, where a graph has several.
        """
        key = (record.id, record.version, root_id or "")
        if record.version != "draft" and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        program = self._compile(
            record.graph,
            root_id=root_id,
            source_id=record.id,
            version=record.version,
            features=record.features,
            environment_variables=record.environment_variables,
            conversation_variables=record.conversation_variables,
            kept_graph=record.graph if record.version == "draft" else None,
        )
        if record.version != "draft":
            self._keep(key, program)
        return program

    def basic(self, config: ModelConfig, mode: str) -> Program:
        """The program of a chat or completion configuration; a changed configuration has another id."""
        key = (config.id, mode, "")
        if key not in self._kept:
            features = {name: getattr(config, name) for name in _FEATURES}
            graph = basic_graph(config, mode)
            program = self._compile(
                graph, source_id=config.id, version="", features=features, model=config.model, is_workflow=False
            )
            self._keep(key, program)
        return self._kept[key]

    def _compile(
        self,
        graph: dict[str, Any],
        *,
        root_id: str | None = None,
        kept_graph: dict[str, Any] | None = None,
        **parts: Any,
    ) -> Program:
        plan = compile_plan(graph, self._registry.node, root_id=root_id)
        root = plan.nodes[plan.root]
        data = next(node["data"] for node in graph["nodes"] if str(node.get("id")) == root.id)
        try:
            form = ROOT_FORMS.get(root.type)
            if form is None:
                form = msgspec.convert(data.get("variables") or [], list[InputVariable], strict=False)
        except msgspec.ValidationError as exc:
            raise BadInput(f"The input form of the start node cannot be read: {exc}.", node_id=root.id) from exc
        return Program(plan=plan, output_map=OutputMap(plan), root_id=root.id, form=form, graph=kept_graph, **parts)

    def _keep(self, key: tuple[str, str, str], program: Program) -> None:
        self._kept[key] = program
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
