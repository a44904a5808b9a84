"""Workflow apps that the workspace published as tools: their names, their parameters, and their runs."""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

import msgspec
from dify_kernel.contracts.tool import (
    FileMessage,
    JsonMessage,
    TextMessage,
    ToolInfo,
    ToolMessage,
    ToolParameter,
    VariableMessage,
)
from dify_kernel.errors import BadInput
from dify_kernel.graph.inputs import InputType, InputVariable
from dify_kernel.graph.values import File, infer

from dify_host.apps.records import AppRecord
from dify_host.apps.repository import AppRepository
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.runs.programs import Program, Programs
from dify_host.tools.errors import ToolProviderNotFound
from dify_host.tools.lookup import is_meant
from dify_host.tools.pool import tool_of
from dify_host.tools.sources import ResolvedTool
from dify_host.tools.tables import tool_workflow_providers
from dify_host.tools.workflow_runs import WorkflowRunner

__all__ = ["NewWorkflowTool", "WorkflowParameter", "WorkflowTool", "WorkflowTools"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_]{1,255}")
_TYPES: Final = {
    InputType.SELECT: "select",
    InputType.NUMBER: "number",
    InputType.CHECKBOX: "boolean",
    InputType.FILE: "file",
    InputType.FILE_LIST: "files",
    InputType.JSON_OBJECT: "object",
}
#: Outputs that a tool node has by itself.
_OWN: Final = frozenset(("text", "json", "files"))


class WorkflowParameter(msgspec.Struct, frozen=True, kw_only=True):
    """How one field of the start form becomes a parameter."""

    name: str
    description: str = ""
    form: Literal["llm", "form", "schema"] = "llm"


class NewWorkflowTool(msgspec.Struct, kw_only=True):
    """What a person says of an app that is to be a tool; without `parameters` the model fills every field."""

    app_id: str
    name: str
    label: str = ""
    description: str = ""
    parameters: list[WorkflowParameter] | None = None
    icon: dict[str, Any] | None = None
    privacy_policy: str | None = None


class WorkflowTool(msgspec.Struct, frozen=True, kw_only=True):
    """One app as a tool; `outdated` when a newer version of it is published."""

    id: str
    app_id: str
    name: str
    label: str
    description: str
    tool: ToolInfo
    parameters: list[WorkflowParameter]
    icon: dict[str, Any] | None = None
    privacy_policy: str | None = None
    outdated: bool = False


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    app_id: str
    name: str
    label: str
    version: str
    description: str
    icon: dict[str, Any] | None = None
    parameter_configuration: builtins.list[WorkflowParameter] | None = None
    privacy_policy: str | None = None
    created_at: datetime


class WorkflowTools(TenantRepository):
    """The published tools of one workspace; `runner` is None where nothing is to be run."""

    def __init__(
        self, db: Database, tenant: Tenant, keys: TenantKeys, programs: Programs, runner: WorkflowRunner | None = None
    ) -> None:
        super().__init__(db, tenant)
        self._keys, self._programs, self._runner = keys, programs, runner

    async def list(self) -> builtins.list[WorkflowTool]:
        """Every tool by name."""
        async with self.db.read() as conn:
            rows = (await conn.execute(self.scoped_select(tool_workflow_providers).order_by("name"))).all()
        return [await self._shown(to_struct(row, _Row)) for row in rows]

    async def get(self, provider: str) -> WorkflowTool:
        """One tool by its id or name; ToolProviderNotFound."""
        return await self._shown(await self._one(provider))

    async def add(self, new: NewWorkflowTool, user_id: str) -> WorkflowTool:
        """Make the published version of an app a tool.

        BadInput for a name that is no identifier or parameters that the start form does not have, AppNotFound,
        WorkflowNotPublished, Conflict when the name is taken or the app is a tool already.
        """
        row_id = new_id()
        row = {**await self._values(new), "id": row_id, "app_id": new.app_id, "user_id": user_id}
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(tool_workflow_providers, row))
        return await self.get(row_id)

    async def update(self, provider: str, new: NewWorkflowTool) -> WorkflowTool:
        """Change a tool, and bring it to the version that is published now; errors as for `add`."""
        found = await self._one(provider)
        values = await self._values(msgspec.structs.replace(new, app_id=found.app_id))
        async with self.db.write() as conn:
            change = self.scoped_update(tool_workflow_providers, values)
            await conn.execute(change.where(tool_workflow_providers.c.id == found.id))
        return await self.get(found.id)

    async def remove(self, provider: str) -> None:
        """Forget a tool, not its app; ToolProviderNotFound."""
        found = await self._one(provider)
        table = tool_workflow_providers
        async with self.db.write() as conn:
            await conn.execute(self.scoped_delete(table).where(table.c.id == found.id))

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """The one tool of a published app, in the version that it was published with."""
        row = await self._one(provider)
        app, program = await self._program(row)
        info = tool_of([_info(row, program)], tool, row.name)
        return ResolvedTool(info, partial(self._call, app, program))

    async def _call(
        self, app: AppRecord, program: Program, parameters: Mapping[str, Any], key: str
    ) -> AsyncIterator[ToolMessage]:
        if self._runner is None:
            raise BadInput("A workflow runs as a tool only inside a run.", hint="Run the app itself.", app=app.id)
        outputs = await self._runner.run(program, app, dict(parameters), key=key)
        for message in _messages(outputs):
            yield message

    async def _one(self, provider: str) -> _Row:
        table = tool_workflow_providers
        async with self.db.read() as conn:
            rows = (await conn.execute(self.scoped_select(table).where(is_meant(table, provider, "name")))).all()
        if not rows:
            raise ToolProviderNotFound(
                f"The workspace has no workflow tool {provider!r}.",
                hint="Publish the workflow as a tool.",
                provider=provider,
            )
        return to_struct(rows[0], _Row)

    async def _program(self, row: _Row) -> tuple[AppRecord, Program]:
        apps = await self._apps()
        app = await apps.get(row.app_id)
        return app, self._programs.workflow(await apps.workflow_of_version(row.app_id, row.version))

    async def _apps(self) -> AppRepository:
        return AppRepository(self.db, self.tenant, await self._keys.cipher(self.tenant))

    async def _values(self, new: NewWorkflowTool) -> dict[str, Any]:
        if not _NAME.fullmatch(new.name):
            raise BadInput("The name may hold letters, digits and underscores.", field="name")
        apps = await self._apps()
        app = await apps.get(new.app_id)
        if app.mode != "workflow":
            raise BadInput(f"The app {app.name} is no workflow.", hint="Choose an app of the type workflow.")
        record = await apps.published_workflow(new.app_id)
        return {
            "name": new.name,
            "label": new.label or app.name,
            "icon": new.icon or {},
            "version": record.version,
            "description": new.description,
            "parameter_configuration": _checked(self._programs.workflow(record).form, new.parameters),
            "privacy_policy": new.privacy_policy,
        }

    async def _shown(self, row: _Row) -> WorkflowTool:
        apps = await self._apps()
        _, program = await self._program(row)
        newest = await apps.published_workflow(row.app_id)
        return WorkflowTool(
            id=row.id,
            app_id=row.app_id,
            name=row.name,
            label=row.label,
            description=row.description,
            tool=_info(row, program),
            parameters=row.parameter_configuration or [],
            icon=row.icon,
            privacy_policy=row.privacy_policy,
            outdated=newest.version != row.version,
        )


def _checked(form: Sequence[InputVariable], given: Sequence[WorkflowParameter] | None) -> builtins.list[dict[str, Any]]:
    """The configuration of each field; BadInput when it does not match the form."""
    if given is None:
        given = [WorkflowParameter(name=item.variable, description=_description(item)) for item in form]
    wanted, named = {item.variable for item in form}, [item.name for item in given]
    if wanted != set(named) or len(named) != len(wanted):
        raise BadInput(
            "The parameters are not those of the workflow.",
            hint=f"Its start form has: {', '.join(sorted(wanted)) or 'nothing'}.",
            field="parameters",
        )
    return [msgspec.to_builtins(item) for item in given]


def _info(row: _Row, program: Program) -> ToolInfo:
    settings = {item.name: item for item in row.parameter_configuration or []}
    parameters = [_parameter(item, settings.get(item.variable)) for item in program.form]
    return ToolInfo(name=row.name, label=row.label, description=row.description or row.label, parameters=parameters)


def _parameter(item: InputVariable, setting: WorkflowParameter | None) -> ToolParameter:
    return ToolParameter(
        name=item.variable,
        type=_TYPES.get(item.type, "string"),
        form=setting.form if setting else "llm",
        required=item.required,
        default=item.default,
        label=str(item.label or item.variable),
        description=(setting.description if setting else "") or _description(item),
        options=[str(option) for option in item.options or []] if item.type is InputType.SELECT else [],
    )


def _description(item: InputVariable) -> str:
    return item.description or str(item.label or item.variable)


def _messages(outputs: Mapping[str, Any]) -> builtins.list[ToolMessage]:
    """What a run gave: its files, all of it as text and as JSON, and each output by name."""
    found: builtins.list[ToolMessage] = [FileMessage(file) for value in outputs.values() for file in _files(value)]
    found.append(TextMessage(msgspec.json.encode(outputs).decode()))
    found.append(JsonMessage(dict(outputs)))
    found += [VariableMessage(name=name, value=value) for name, value in outputs.items() if name not in _OWN]
    return found


def _files(value: Any) -> builtins.list[File]:
    data = infer(value).data
    return [item for item in (data if isinstance(data, builtins.list) else [data]) if isinstance(item, File)]
