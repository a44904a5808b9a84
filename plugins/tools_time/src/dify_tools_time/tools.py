"""The time tools; names and parameters are those of Dify's built-in `time` provider."""

from __future__ import annotations

import calendar
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from dify_kernel.contracts.tool import TextMessage, ToolInfo, ToolMessage, ToolParameter, ToolProvider
from dify_kernel.errors import ToolError

__all__ = ["TimeTools"]

_FORMAT = ToolParameter(
    name="format",
    form="form",
    default="%Y-%m-%d %H:%M:%S",
    label="Format",
    description="How the time is written, as in strftime.",
)
_ZONE = ToolParameter(name="timezone", form="form", default="UTC", label="Time zone", description="An IANA name.")


class NoCredentials(msgspec.Struct, frozen=True):
    """Nothing to fill in."""


class TimeTools(ToolProvider):
    """Current time, time zone conversion and weekday. Reads the clock and nothing else."""

    name = "time"
    label = "Time"
    Credentials = NoCredentials

    def tools(self) -> Sequence[ToolInfo]:
        """The three tools."""
        conversion = [ToolParameter(name=name, required=True) for name in ("current_time", "current_timezone")]
        conversion.append(ToolParameter(name="target_timezone", required=True))
        parts = [ToolParameter(name=name, type="number", required=True) for name in ("year", "month", "day")]
        return (
            ToolInfo(
                name="current_time", label="Current time", description="The time now.", parameters=[_FORMAT, _ZONE]
            ),
            ToolInfo(
                name="timezone_conversion",
                label="Convert time zone",
                description="A time (YYYY-MM-DD HH:MM:SS) of one zone in another.",
                parameters=conversion,
            ),
            ToolInfo(name="weekday", label="Weekday", description="The weekday of a date.", parameters=parts),
        )

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """The answer as one text; ToolError names the parameter that is wrong."""
        work = {"current_time": _now, "timezone_conversion": _convert, "weekday": _weekday}.get(tool)
        if work is None:
            raise ToolError(f"There is no time tool {tool!r}.", hint="See its list of tools.", tool=tool)
        yield TextMessage(work(parameters))


def _now(parameters: Mapping[str, Any]) -> str:
    zone = _zone(parameters, "timezone", "UTC")
    return datetime.now(zone).strftime(str(parameters.get("format") or _FORMAT.default))


def _convert(parameters: Mapping[str, Any]) -> str:
    source, target = _zone(parameters, "current_timezone"), _zone(parameters, "target_timezone")
    try:
        moment = datetime.strptime(str(parameters.get("current_time")), "%Y-%m-%d %H:%M:%S").replace(tzinfo=source)
    except ValueError as exc:
        raise ToolError("`current_time` is not of the form YYYY-MM-DD HH:MM:SS.", field="current_time") from exc
    return moment.astimezone(target).strftime("%Y-%m-%d %H:%M:%S")


def _weekday(parameters: Mapping[str, Any]) -> str:
    try:
        day = date(*(int(parameters[name]) for name in ("year", "month", "day")))
    except (KeyError, TypeError, ValueError) as exc:
        raise ToolError("`year`, `month` and `day` are not a date.", field="day") from exc
    return calendar.day_name[day.weekday()]


def _zone(parameters: Mapping[str, Any], name: str, default: str = "") -> tzinfo:
    value = str(parameters.get(name) or default)
    if value == "UTC":
        return UTC
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ToolError(
            f"`{name}` is {value!r}, which is no time zone.", hint="Use a name like Europe/Berlin.", field=name
        ) from exc
