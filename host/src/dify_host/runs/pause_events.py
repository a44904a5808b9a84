"""What clients learn of a run that waits for people: what is asked, that it waits, and how it was answered."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from dify_kernel.graph.events import Event, NodeFinished, NodePaused, RunPaused, RunResumed, RunStarted

__all__ = ["REQUIRED", "FormToken", "PauseEvents", "by_webapp", "form_id_of"]

#: The type of a pause in which a form is to be filled in.
REQUIRED: Final = "human_input_required"

FormToken = Callable[[str], str]
"""Gives the token of the form with that id."""


def form_id_of(run_id: str, event: NodePaused) -> str:
    """The id of the form of a pause: the same whoever asks, and another one each time the node waits.

    A UUID of version 8 (RFC 9562).
    """
    digest = blake2b(f"{run_id}/{event.execution_id}/{event.seq}".encode(), digest_size=16).digest()
    value = int.from_bytes(digest, "big")
    value = value & ~(0xF << 76) | 0x8 << 76
    return str(uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62))


def by_webapp(data: dict[str, Any]) -> bool:
    """Whether a question is shown in the app, going by what its node said."""
    methods = data.get("delivery_methods") or []
    return bool(data.get("display_in_ui")) or any(method.get("type") == "webapp" for method in methods)


class PauseEvents:
    """The events of one run, by name. Fed with the whole log it knows what a run that was taken up waits for.

    A form's token goes only to forms that are shown in the app.
    """

    def __init__(self, run_id: str, form_token: FormToken | None = None) -> None:
        self._run_id, self._form_token = run_id, form_token
        self._started = 0
        self._asked: dict[str, NodePaused] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        #: What was last said of the run as a whole.
        self.last: dict[str, Any] = {}

    def convert(self, event: Event) -> list[tuple[str, dict[str, Any]]]:
        """What clients are told before the event itself, if anything."""
        if isinstance(event, NodeFinished):
            return self._answered(event) if event.execution_id in self._answers else []
        if isinstance(event, NodePaused):
            self._asked[event.execution_id] = event
            self._answers.pop(event.execution_id, None)
            return [(REQUIRED, self._form(event))] if event.type == REQUIRED else []
        if isinstance(event, RunPaused):
            self.last = self._paused(event)
            return [("workflow_paused", self.last)]
        if isinstance(event, RunResumed):
            self._answers |= event.answers
        elif isinstance(event, RunStarted):
            self._started = int(event.at)
        return []

    def _form(self, event: NodePaused) -> dict[str, Any]:
        data, form_id = event.data, form_id_of(self._run_id, event)
        token = self._form_token(form_id) if self._form_token is not None and by_webapp(data) else None
        return {
            "form_id": form_id,
            "node_id": event.node_id,
            "node_title": event.title,
            "form_content": data.get("form_content") or "",
            "inputs": data.get("inputs") or [],
            "actions": data.get("actions") or [],
            "display_in_ui": bool(data.get("display_in_ui")),
            "form_token": token,
            "resolved_default_values": data.get("resolved_default_values") or {},
            "expiration_time": _seconds(event.expires_at),
        }

    def _paused(self, event: RunPaused) -> dict[str, Any]:
        waiting = [self._asked[execution_id] for execution_id in event.waiting if execution_id in self._asked]
        return {
            "workflow_run_id": self._run_id,
            "paused_nodes": [asked.node_id for asked in waiting],
            "outputs": event.outputs,
            "reasons": [{"TYPE": asked.type, **self._form(asked)} for asked in waiting],
            "status": "paused",
            "created_at": self._started,
            "elapsed_time": event.elapsed_time,
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
        }

    def _answered(self, event: NodeFinished) -> list[tuple[str, dict[str, Any]]]:
        """How a question was answered; nothing when the node could do nothing with the answer."""
        answer, asked = self._answers.pop(event.execution_id), self._asked.get(event.execution_id)
        if asked is None or asked.type != REQUIRED or event.status != "succeeded":
            return []
        place = {"node_id": event.node_id, "node_title": event.title}
        if answer.get("timeout"):
            return [("human_input_form_timeout", {**place, "expiration_time": _seconds(asked.expires_at)})]
        action_id = str(answer.get("action") or "")
        titles = {item.get("id"): item.get("title") for item in asked.data.get("actions") or []}
        names = [item.get("output_variable_name") for item in asked.data.get("inputs") or []]
        outputs = event.outputs
        filled = {
            **place,
            "rendered_content": outputs.get("__rendered_content", asked.data.get("form_content") or ""),
            "action_id": action_id,
            "action_text": titles.get(action_id) or action_id,
            "submitted_data": {name: outputs[name] for name in names if name in outputs},
        }
        return [("human_input_form_filled", filled)]


def _seconds(at: float | None) -> int | None:
    return None if at is None else int(at)
