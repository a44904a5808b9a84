"""Times of a schedule: forms become cron expressions, expressions become the next times, in any time zone.

All times in and out are naive UTC, as the database keeps them. Around a change of the clock: a slot in the hour that is
left out comes right after it, a slot in the hour that happens twice comes once, and what runs each hour keeps its pace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from dify_host.triggers.errors import InvalidSchedule
from dify_host.triggers.graph import ScheduleConfig, VisualConfig

__all__ = ["Schedule", "cron_expression"]

_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2}) ?([AaPp])[Mm]")
#: `L5`, as other crons write the last Friday.
_LAST_WEEKDAY: Final = re.compile(r"L([0-7])", re.IGNORECASE)
_FIELDS: Final = 5
_LONGEST: Final = 255  # characters of the column


def cron_expression(config: ScheduleConfig) -> str:
    """The expression of a schedule node; InvalidSchedule says what is missing."""
    if config.mode == "cron":
        text = (config.cron_expression or "").strip()
        if not text:
            raise InvalidSchedule("The schedule has no cron expression.")
        if len(text) > _LONGEST:
            raise InvalidSchedule(f"The cron expression has {len(text)} characters; at most {_LONGEST} are kept.")
        return text
    visual = config.visual_config or VisualConfig()
    if config.frequency == "hourly":
        return f"{visual.on_minute or 0} * * * *"
    hour, minute = _clock(visual.time or "")
    if config.frequency == "daily":
        return f"{minute} {hour} * * *"
    if config.frequency == "weekly":
        return f"{minute} {hour} * * {_weekdays(visual.weekdays or [])}"
    if config.frequency == "monthly":
        return f"{minute} {hour} {_month_days(visual.monthly_days or [])} * *"
    raise InvalidSchedule("The schedule has no frequency.", hint="Use hourly, daily, weekly or monthly.")


class Schedule:
    """The times of an expression in a time zone; InvalidSchedule when there are none."""

    def __init__(self, expression: str, timezone: str) -> None:
        self.expression, self.timezone = expression, timezone
        self._fields = _readable(expression)
        try:
            self._zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as exc:
            raise InvalidSchedule(
                f"There is no time zone {timezone!r}.", hint="Use a name like `Europe/Berlin`."
            ) from exc
        try:
            next(CronSim(self._fields, datetime.now(self._zone)))
        except (CronSimError, StopIteration) as exc:
            reason = f": {exc}" if str(exc) else ": it names no day that exists"
            raise InvalidSchedule(f"The cron expression {expression!r} cannot be used{reason}.") from exc

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment."""
        return next(self._times(moment))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last time after one moment and not after another; None when there is none."""
        found = None
        for slot in self._times(after):
            if slot > until:
                break
            found = slot
        return found

    def _times(self, moment: datetime) -> Iterator[datetime]:
        local = moment.replace(tzinfo=UTC).astimezone(self._zone)
        for slot in CronSim(self._fields, local):
            utc = slot.astimezone(UTC).replace(tzinfo=None)
            # What the clock repeats may be said again when one starts between the two; a slot comes once.
            if utc > moment:
                yield utc


def _readable(expression: str) -> str:
    """The expression with the names and spellings that other crons have put into plain ones."""
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in _NAMED:
            raise InvalidSchedule(f"There is no {text!r}.", hint=f"Use {', '.join(_NAMED)}, or five fields.")
        return _NAMED[text.lower()]
    fields = text.split()
    if len(fields) != _FIELDS:
        raise InvalidSchedule(f"The cron expression {expression!r} must have five fields.")
    for place in (2, 4):
        fields[place] = "*" if fields[place] == "?" else fields[place]
    fields[4] = ",".join(_LAST_WEEKDAY.sub(r"\1L", part) for part in fields[4].split(","))
    return " ".join(fields)


def _clock(text: str) -> tuple[int, int]:
    """Hour and minute of a time like `8:30 PM`."""
    found = _TIME.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= 12 or int(found[2]) > 59:
        raise InvalidSchedule(f"The time {text!r} cannot be read.", hint="Write it like `8:30 AM`.")
    return int(found[1]) % 12 + (12 if found[3].lower() == "p" else 0), int(found[2])


def _weekdays(days: list[str]) -> str:
    if not days or not set(days) <= set(_WEEKDAYS):
        raise InvalidSchedule("A weekly schedule needs days.", hint=f"Use {', '.join(_WEEKDAYS)}.")
    return ",".join(str(number) for number in sorted({_WEEKDAYS.index(day) for day in days}))


def _month_days(days: list[int | str]) -> str:
    numbers = sorted({day for day in days if isinstance(day, int)})
    last = any(day == "last" for day in days)
    if not days or not all(1 <= number <= 31 for number in numbers):
        raise InvalidSchedule("A monthly schedule needs days.", hint="Use 1 to 31, or `last`.")
    return ",".join([*(str(number) for number in numbers), *(["L"] if last else [])])
