"""The schedule trigger: the clock starts the run, by a cron expression or by the choices of a form."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec
from dify_kernel.contracts.node import NodeConfig

from dify_nodes_trigger.root import TriggerNode

__all__ = ["ScheduleTriggerConfig", "ScheduleTriggerNode", "VisualConfig"]

Weekday = Literal["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_TIME: Final = re.compile(r"(0?[1-9]|1[0-2]):[0-5]\d ?[AaPp][Mm]")
_CRON_FIELDS: Final = 5


class VisualConfig(msgspec.Struct, kw_only=True):
    """The form. Hours and days of the month are those of the schedule's time zone."""

    on_minute: int | None = 0
    time: str | None = "12:00 AM"
    weekdays: list[Weekday] | None = None
    monthly_days: list[int | Literal["last"]] | None = None


class ScheduleTriggerConfig(NodeConfig, kw_only=True):
    """When runs start: `visual` with a frequency and a form, or `cron` with five fields or a name like `@daily`."""

    mode: Literal["visual", "cron"] = "visual"
    frequency: Literal["hourly", "daily", "weekly", "monthly"] | None = None
    visual_config: VisualConfig | None = None
    cron_expression: str | None = None
    timezone: str = "UTC"


class ScheduleTriggerNode(TriggerNode):
    """Gives what the run was started with, and the system variables; `sys.timestamp` is the time of the start."""

    type = "trigger-schedule"
    Config = ScheduleTriggerConfig
    config: ScheduleTriggerConfig

    def problems(self) -> list[str]:
        """What cannot become times: an expression or a frequency that is missing, numbers out of range."""
        config = self.config
        if config.mode == "cron":
            text = (config.cron_expression or "").strip()
            if not text:
                return ["The schedule is in cron mode and has no `cron_expression`."]
            if not text.startswith("@") and len(text.split()) != _CRON_FIELDS:
                return [f"The cron expression {text!r} must have five fields, or be a name like `@daily`."]
            return []
        if config.frequency is None:
            return ["The schedule has no `frequency`."]
        return self._visual_problems(config.frequency, config.visual_config or VisualConfig())

    def _visual_problems(self, frequency: str, visual: VisualConfig) -> list[str]:
        found = []
        if frequency == "hourly":
            if not 0 <= (visual.on_minute or 0) <= 59:
                found.append(f"`on_minute` is {visual.on_minute}; a minute is 0 to 59.")
            return found
        if not _TIME.fullmatch(visual.time or ""):
            found.append(f"`time` is {visual.time!r}; write it like `8:30 AM`.")
        if frequency == "weekly" and not visual.weekdays:
            found.append("A weekly schedule needs `weekdays`.")
        if frequency == "monthly":
            if not visual.monthly_days:
                found.append("A monthly schedule needs `monthly_days`.")
            wrong = [day for day in visual.monthly_days or [] if isinstance(day, int) and not 1 <= day <= 31]
            found += [f"`monthly_days` has {day}; a day of the month is 1 to 31, or `last`." for day in wrong]
        return found
