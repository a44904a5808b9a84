"""What a caller asks for when a run is to start."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.graph.values import File

from dify_host.apps.records import AppRecord
from dify_host.db.tenant import Tenant
from dify_host.runs.recorder import Creator

__all__ = ["RunRequest"]


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs what with which inputs. `user_id` is the caller's own name of its user; files are resolved already.

    `run_id` is given when it was decided before, so that asking twice starts one run. `root_id` names the trigger that
    starts the run, where a graph has several. `more` are values by owner and name that the run begins with beside its
    inputs, such as those of `sys` that only a pipeline has. `call_depth` counts the workflows that called one another.
    With `names` a conversation that begins with the run gets a name.
    """

    tenant: Tenant
    app: AppRecord
    creator: Creator
    user_id: str
    inputs: dict[str, Any]
    query: str = ""
    files: list[File] = []
    conversation_id: str | None = None
    invoke_from: str = "service-api"
    from_source: str = "api"
    triggered_from: str = "app-run"
    introduction: str = ""
    run_id: str | None = None
    root_id: str | None = None
    call_depth: int = 0
    names: bool = False
    more: dict[str, dict[str, Any]] = {}
