"""What is wrong with an app and what it needs, whatever form it is in: a text, a draft, a published version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry

from dify_host.apps import sharing, validation
from dify_host.apps.changes import Check
from dify_host.apps.dsl import AppDsl, PipelineDsl, Reading, WorkflowBody, import_status
from dify_host.apps.needs import Missing, find_missing
from dify_host.apps.records import ModelConfig, WorkflowRecord

__all__ = ["AppChecker"]


class AppChecker:
    """Checks apps against what is installed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def check(self, reading: Reading) -> Check:
        """Everything about a text that was read; InvalidDsl for a version that is none."""
        dsl = reading.dsl
        import_status(dsl.version)
        problems = self.problems(dsl)
        return Check(
            kind=dsl.kind,
            name=dsl.rag_pipeline.name if isinstance(dsl, PipelineDsl) else dsl.app.name,
            mode="rag-pipeline" if isinstance(dsl, PipelineDsl) else dsl.app.mode,
            version=dsl.version,
            valid=not validation.has_errors(problems),
            importable=not validation.has_errors(problems),
            problems=problems,
            missing=self.missing(dsl),
            changes=reading.changes,
        )

    def problems(self, dsl: AppDsl | PipelineDsl) -> list[Problem]:
        """Every problem of a text, errors first."""
        if isinstance(dsl, PipelineDsl):
            return self.pipeline(dsl.workflow)
        if dsl.workflow is not None:
            return self.workflow(dsl.workflow, dsl.app.mode)
        config = msgspec.convert({**(dsl.model_config or {}), "id": "", "app_id": ""}, ModelConfig)
        return self.config(config, dsl.app.mode)

    def workflow(self, body: WorkflowBody | WorkflowRecord, mode: str) -> list[Problem]:
        """Every problem of a workflow or advanced-chat app, errors first."""
        return validation.check_workflow(
            body.graph,
            body.features,
            mode,
            self._registry,
            environment=body.environment_variables,
            conversation=body.conversation_variables,
        )

    def pipeline(self, body: WorkflowBody | WorkflowRecord) -> list[Problem]:
        """Every problem of a knowledge pipeline, errors first."""
        return validation.check_pipeline(body.graph, self._registry)

    def config(self, config: ModelConfig, mode: str) -> list[Problem]:
        """Every problem of a chat, agent-chat or completion app, errors first."""
        return validation.check_config(config, mode, self._registry)

    def missing(self, dsl: AppDsl | PipelineDsl) -> list[Missing]:
        """What the text needs and nothing installed offers."""
        config = (dsl.model_config if isinstance(dsl, AppDsl) else None) or {}
        return self.missing_for(dsl.workflow.graph if dsl.workflow else {}, config, dsl.dependencies)

    def missing_for(
        self, graph: Mapping[str, Any], config: Mapping[str, Any], dependencies: Sequence[dict[str, Any]] = ()
    ) -> list[Missing]:
        """The same for a graph or a configuration."""
        return find_missing(graph, config, dependencies, self._registry)

    def missing_plugins(self, dsl: AppDsl | PipelineDsl) -> list[str]:
        """The same by the `author/name` of plugins, as Dify's editor asks for them."""
        graph = dsl.workflow.graph if dsl.workflow else {}
        config = (dsl.model_config if isinstance(dsl, AppDsl) else None) or {}
        needed = sharing.used_plugins(dsl.dependencies) or sharing.derived_plugins(graph, config)
        offered = {_plain(name) for kind in ("providers", "tools", "nodes") for name in self._registry.names(kind)}
        return [plugin for plugin in needed if _plain(plugin.rpartition("/")[2]) not in offered]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
