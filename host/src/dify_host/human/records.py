"""A form as the rest of the host sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dify_host.runs.pause_events import by_webapp

__all__ = ["ANSWERED", "EXPIRED", "SUBMITTED", "TIMEOUT", "WAITING", "Form"]

WAITING: Final = "waiting"
SUBMITTED: Final = "submitted"
TIMEOUT: Final = "timeout"
EXPIRED: Final = "expired"
#: What a run can go on with: an answer, or that there is none.
ANSWERED: Final = (SUBMITTED, TIMEOUT)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a person."""

    id: str
    tenant_id: str
    app_id: str
    workflow_run_id: str
    node_execution_id: str
    node_id: str
    node_title: str
    form_definition: dict[str, Any]
    rendered_content: str
    status: str
    expiration_time: datetime | None = None
    selected_action_id: str | None = None
    submitted_data: dict[str, Any] | None = None
    submitted_at: datetime | None = None
    submission_user_id: str | None = None
    submission_end_user_id: str | None = None
    resumed_at: datetime | None = None
    created_at: datetime

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The fields."""
        return self.form_definition.get("inputs") or []

    @property
    def actions(self) -> list[dict[str, Any]]:
        """The buttons."""
        return self.form_definition.get("actions") or []

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """The ways in which people are told of the form."""
        return self.form_definition.get("delivery_methods") or []

    @property
    def shown_by_app(self) -> bool:
        """Whether somebody who uses the app gets the form in it."""
        return by_webapp(self.form_definition)

    @property
    def answer(self) -> dict[str, Any]:
        """What the node gets."""
        if self.status == TIMEOUT:
            return {"timeout": True}
        return {"action": self.selected_action_id, "inputs": self.submitted_data or {}}

    def view(self) -> dict[str, Any]:
        """The form as it is shown to whoever fills it in."""
        expires = self.expiration_time
        return {
            "form_content": self.form_definition.get("form_content") or "",
            "inputs": self.inputs,
            "resolved_default_values": self.form_definition.get("resolved_default_values") or {},
            "user_actions": self.actions,
            "expiration_time": int(expires.replace(tzinfo=UTC).timestamp()) if expires else None,
        }
