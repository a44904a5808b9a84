"""The `data` of a `human-input` node, in the form of today and in the first one, which had no form to fill in."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig

__all__ = ["CONSTANT", "UNITS", "VARIABLE", "FormInput", "HumanInputConfig", "Source", "UserAction"]

CONSTANT, VARIABLE = "constant", "variable"

#: Units of the timeout, in seconds.
UNITS = {"hour": 3600.0, "day": 86400.0}


class Source(msgspec.Struct, frozen=True):
    """Where a default or a list of options comes from: `value`, or the variable that `selector` names."""

    type: str = CONSTANT
    selector: list[str] = []
    value: Any = None


class FormInput(msgspec.Struct, frozen=True):
    """One field of the form. Which of the later parts count depends on the type."""

    type: str
    output_variable_name: str
    default: Source | None = None
    option_source: Source | None = None
    allowed_file_types: list[str] = []
    allowed_file_extensions: list[str] = []
    allowed_file_upload_methods: list[str] = []
    number_limits: int = 0

    @property
    def is_text(self) -> bool:
        """Whether a text is typed in."""
        return self.type in ("text-input", "text_input", "paragraph")

    @property
    def source(self) -> Source | None:
        """What the field takes from the run: its default, or its options."""
        return self.option_source if self.type == "select" else self.default if self.is_text else None


class UserAction(msgspec.Struct, frozen=True):
    """One button; its id is the handle of the edges that it takes."""

    id: str
    title: str = ""
    button_style: str = "default"


class HumanInputConfig(NodeConfig, kw_only=True):
    """A form, its buttons, how long it is open and who is told; or, in the first form, variables to wait for."""

    form_content: str | None = None
    inputs: list[FormInput] | None = None
    user_actions: list[UserAction] | None = None
    timeout: int = 36
    timeout_unit: str = "hour"
    delivery_methods: list[dict[str, Any]] | None = None
    required_variables: list[str] | None = None
    pause_reason: str | None = None
    default_value: list[dict[str, Any]] | None = None

    @property
    def has_form(self) -> bool:
        """Whether there is a form to fill in, and not only variables to wait for."""
        return self.form_content is not None or self.inputs is not None or self.user_actions is not None

    @property
    def expires_in(self) -> float:
        """How long the form is open, in seconds."""
        return self.timeout * UNITS[self.timeout_unit]
