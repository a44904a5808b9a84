"""What a run begins with: its message, and the values of its pool."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import Value, ValueType, cast, infer

from dify_host.apps.records import Variable
from dify_host.db.types import new_id
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.message_rows import MessageSpec
from dify_host.runs.programs import Program
from dify_host.runs.request import RunRequest

__all__ = ["begin_message", "fill_pool", "set_environment", "shown_inputs"]


async def begin_message(
    memory: ConversationMemory,
    program: Program,
    request: RunRequest,
    run: RunInfo,
    inputs: dict[str, Any],
    created_at: float,
) -> tuple[MessageSpec | None, list[Variable], set[str]]:
    """The message that the run answers (None for a workflow), its conversation's variables, and those without a row.

    NotFound for a conversation of somebody else.
    """
    if run.conversation_id is None:
        return None, [], set()
    fresh = not request.conversation_id
    count = 0
    if not fresh:
        found = await memory.find(request.app.id, run.conversation_id, request.creator)
        count = found.dialogue_count
    variables, missing = await memory.variables(
        request.app.id, run.conversation_id, program.conversation_variables, fresh=fresh
    )
    spec = MessageSpec(
        # Without a workflow run to point at, the message itself has the id of its run.
        message_id=new_id() if program.is_workflow else run.run_id,
        conversation_id=run.conversation_id,
        fresh=fresh,
        app_id=request.app.id,
        mode=request.app.mode,
        query=request.query,
        inputs=msgspec.to_builtins(inputs),
        creator=request.creator,
        invoke_from=request.invoke_from,
        from_source=request.from_source,
        created_at=created_at,
        dialogue_count=count + 1,
        workflow_run_id=run.run_id if program.is_workflow else None,
        model_provider=program.model.get("provider"),
        model_id=program.model.get("name"),
        introduction=request.introduction,
        shows_citations=program.shows_citations,
        files=request.files,
    )
    return spec, variables, missing


def fill_pool(
    program: Program,
    request: RunRequest,
    run: RunInfo,
    inputs: dict[str, Any],
    variables: list[Variable],
    spec: MessageSpec | None,
) -> Pool:
    """The values that nodes find: inputs under the root, `sys`, `env`, `conversation`."""
    pool = Pool()
    pool.update(program.root_id, inputs)
    files = Value(ValueType.ARRAY_FILE, list(request.files))
    system: dict[str, Any] = {
        "files": files,
        "user_id": request.user_id,
        "app_id": run.app_id,
        "workflow_id": run.workflow_id,
        "workflow_run_id": run.run_id,
    }
    if spec is None:
        system["timestamp"] = int(time.time())
    else:
        system |= {
            "query": request.query,
            "conversation_id": run.conversation_id,
            "dialogue_count": spec.dialogue_count,
        }
    pool.update("sys", system)
    for owner, values in request.more.items():
        pool.update(owner, values)
    set_environment(pool, program)
    for variable in variables:
        pool.set("conversation", variable.name, _declared(variable))
    return pool


def set_environment(pool: Pool, program: Program) -> None:
    """Set the environment variables, secrets in clear: the log of a run does not have them."""
    for item in program.environment_variables:
        pool.set("env", item.name, _declared(item))


def _declared(item: Variable) -> Value:
    """The value under its declared type; what does not fit keeps the type it has."""
    try:
        return cast(item.value, item.value_type)
    except ValueError:
        return infer(item.value)


def shown_inputs(pool: Pool, root_id: str) -> dict[str, Any]:
    """The inputs as the first event shows them: the root's, and those of the form of a pipeline."""
    shown = {name: value.data for name, value in pool.node(root_id).items()}
    for fields in pool.node("rag").values():
        shown |= fields.data
    hidden = ("conversation_id", "timestamp")
    return shown | {f"sys.{name}": value.data for name, value in pool.node("sys").items() if name not in hidden}
