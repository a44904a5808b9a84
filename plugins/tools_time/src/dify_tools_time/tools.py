"""The time tools; names and parameters are those of Dify's built-in `time` provider."""

from __future__ import annotations

import calendar
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final
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
_STAMP_FORMAT = "%Y-%m-%d %H:%M:%S"
_OWN_ZONE = ToolParameter(name="timezone", default="Asia/Shanghai", label="Time zone", description="An IANA name.")
_ZONE = ToolParameter(name="timezone", form="form", default="UTC", label="Time zone", description="An IANA name.")


class NoCredentials(msgspec.Struct, frozen=True):
    """Nothing to fill in."""


class TimeTools(ToolProvider):
    """Current time, timestamps, time zone conversion and weekday. Reads the clock and nothing else."""

    name = "time"
    label = "Time"
    Credentials = NoCredentials

    def tools(self) -> Sequence[ToolInfo]:
        """The five tools."""
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
            ToolInfo(
                name="localtime_to_timestamp",
                label="Local time to timestamp",
                description="The Unix timestamp of a local time (YYYY-MM-DD HH:MM:SS).",
                parameters=[ToolParameter(name="localtime", required=True, label="Local time"), _OWN_ZONE],
            ),
            ToolInfo(
                name="timestamp_to_localtime",
                label="Timestamp to local time",
                description="The local time of a Unix timestamp.",
                parameters=[ToolParameter(name="timestamp", type="number", required=True), _OWN_ZONE],
            ),
            ToolInfo(name="weekday", label="Weekday", description="The weekday of a date.", parameters=parts),
        )

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """The answer as one text; ToolError names the parameter that is wrong."""
        work = _WORK.get(tool)
        if work is None:
            raise ToolError(f"There is no time tool {tool!r}.", hint="See its list of tools.", tool=tool)
        yield TextMessage(work(parameters))


def _now(parameters: Mapping[str, Any]) -> str:
    zone = _zone(parameters, "timezone", "UTC")
    return datetime.now(zone).strftime(str(parameters.get("format") or _FORMAT.default))


def _convert(parameters: Mapping[str, Any]) -> str:
    source, target = _zone(parameters, "current_timezone"), _zone(parameters, "target_timezone")
    return _moment(parameters, "current_time", source).astimezone(target).strftime(_STAMP_FORMAT)


def _to_timestamp(parameters: Mapping[str, Any]) -> str:
    zone = _zone(parameters, "timezone", str(_OWN_ZONE.default))
    return str(int(_moment(parameters, "localtime", zone).timestamp()))


def _to_localtime(parameters: Mapping[str, Any]) -> str:
    zone = _zone(parameters, "timezone", str(_OWN_ZONE.default))
    try:
        return datetime.fromtimestamp(float(parameters["timestamp"]), zone).strftime(_STAMP_FORMAT)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as exc:
        raise ToolError("`timestamp` is no Unix timestamp in seconds.", field="timestamp") from exc


def _moment(parameters: Mapping[str, Any], name: str, zone: tzinfo) -> datetime:
    try:
        return datetime.strptime(str(parameters.get(name)), _STAMP_FORMAT).replace(tzinfo=zone)
    except ValueError as exc:
        raise ToolError(f"`{name}` is not of the form YYYY-MM-DD HH:MM:SS.", field=name) from exc


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


_WORK: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "current_time": _now,
    "timezone_conversion": _convert,
    "localtime_to_timestamp": _to_timestamp,
    "timestamp_to_localtime": _to_localtime,
    "weekday": _weekday,
}
