"""Times of schedules: forms against a calendar, expressions in their spellings, and the two days when clocks change."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from dify_host.triggers.cron import Schedule, cron_expression
from dify_host.triggers.errors import InvalidSchedule
from dify_host.triggers.graph import ScheduleConfig
from hypothesis import given
from hypothesis import strategies as st

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
ZONES = ("UTC", "Asia/Kathmandu", "America/Argentina/Buenos_Aires", "Asia/Shanghai")  # no change of clocks since 2010
CHANGING = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")


def visual(frequency: str, **form: Any) -> ScheduleConfig:
    return msgspec.convert({"mode": "visual", "frequency": frequency, "visual_config": form}, ScheduleConfig)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (visual("hourly", on_minute=5), "5 * * * *"),
        (visual("hourly"), "0 * * * *"),
        (visual("daily", time="12:00 AM"), "0 0 * * *"),
        (visual("daily", time="12:30 PM"), "30 12 * * *"),
        (visual("daily", time="1:05 pm"), "5 13 * * *"),
        (visual("weekly", time="9:00 AM", weekdays=["fri", "sun", "fri"]), "0 9 * * 0,5"),
        (visual("monthly", time="11:59 PM", monthly_days=["last", 15, 1]), "59 23 1,15,L * *"),
        (msgspec.convert({"mode": "cron", "cron_expression": " */5 * * * * "}, ScheduleConfig), "*/5 * * * *"),
    ],
)
def test_a_form_becomes_an_expression(config: ScheduleConfig, expected: str) -> None:
    assert cron_expression(config) == expected


@pytest.mark.parametrize(
    "config",
    [
        visual("daily", time="24:00"),
        visual("daily", time="0:10 AM"),
        visual("daily", time="1:60 AM"),
        visual("weekly", weekdays=[]),
        visual("weekly", weekdays=["mardi"]),
        visual("monthly", monthly_days=[]),
        visual("monthly", monthly_days=[0]),
        visual("yearly"),
        msgspec.convert({"mode": "cron"}, ScheduleConfig),
        msgspec.convert({"mode": "cron", "cron_expression": "0 " * 200}, ScheduleConfig),
    ],
)
def test_a_form_without_times_is_refused(config: ScheduleConfig) -> None:
    with pytest.raises(InvalidSchedule):
        cron_expression(config)


def local_slots(config: ScheduleConfig, first: date, days: int) -> list[datetime]:
    """What a calendar says: the times of a form, in local time."""
    form = config.visual_config
    assert form is not None
    hours = [time(hour, form.on_minute or 0) for hour in range(24)]
    clock = datetime.strptime(form.time or "", "%I:%M %p").time()
    found = []
    for day in (first + timedelta(days=number) for number in range(days)):
        last = day.day == calendar.monthrange(day.year, day.month)[1]
        wanted = {
            "hourly": True,
            "daily": True,
            "weekly": DAYS[(day.weekday() + 1) % 7] in (form.weekdays or []),
            "monthly": day.day in (form.monthly_days or []) or (last and "last" in (form.monthly_days or [])),
        }[config.frequency or ""]
        if wanted:
            found += [datetime.combine(day, at) for at in (hours if config.frequency == "hourly" else [clock])]
    return found


forms = st.builds(
    visual,
    st.sampled_from(["hourly", "daily", "weekly", "monthly"]),
    on_minute=st.integers(0, 59),
    time=st.times().map(lambda at: at.strftime("%I:%M %p").lstrip("0")),
    weekdays=st.lists(st.sampled_from(DAYS), min_size=1),
    monthly_days=st.lists(st.one_of(st.integers(1, 31), st.just("last")), min_size=1),
)
moments = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1))


@given(config=forms, zone=st.sampled_from(ZONES), moment=moments)
def test_the_next_times_of_a_form_are_those_of_the_calendar(
    config: ScheduleConfig, zone: str, moment: datetime
) -> None:
    schedule = Schedule(cron_expression(config), zone)
    local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    expected = [slot for slot in local_slots(config, local.date(), 70) if slot > local][:4]

    found, at = [], moment
    for _ in expected:
        at = schedule.after(at)
        found.append(at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None))

    assert found == expected
    assert schedule.latest(moment, at) == at
    assert schedule.latest(moment, moment) is None


@given(config=forms, zone=st.sampled_from(CHANGING), moment=moments)
def test_where_clocks_change_times_still_come_in_order_each_once(
    config: ScheduleConfig, zone: str, moment: datetime
) -> None:
    schedule = Schedule(cron_expression(config), zone)
    first = schedule.after(moment)
    second = schedule.after(first)
    assert moment < first < second
    # Asked from anywhere between two times, the next one is the same.
    assert schedule.after(first - timedelta(microseconds=1)) == first
    assert schedule.after(moment + (first - moment) / 2) == first
    assert schedule.after(first + (second - first) / 2) == second
    assert schedule.latest(moment, second) == second


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # Spring: 2:00 to 3:00 does not happen in New York on 8 March 2026.
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("America/New_York", "0 3 * * *", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T07:00"]),
        ("America/New_York", "0 * * * *", "2026-03-08T06:30", ["2026-03-08T07:00", "2026-03-08T08:00"]),
        ("America/New_York", "*/30 * * * *", "2026-03-08T06:40", ["2026-03-08T07:00", "2026-03-08T07:30"]),
        # Autumn: 1:00 to 2:00 happens twice on 1 November 2026.
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T05:45", ["2026-11-02T06:30"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T06:10", ["2026-11-02T06:30"]),
        ("America/New_York", "0 2 * * *", "2026-10-31T12:00", ["2026-11-01T07:00", "2026-11-02T07:00"]),
        (
            "America/New_York",
            "0 * * * *",
            "2026-11-01T04:30",
            ["2026-11-01T05:00", "2026-11-01T06:00", "2026-11-01T07:00"],
        ),
        # Half an hour, and a change at midnight.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-02T20:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("Africa/Cairo", "30 0 * * *", "2026-04-23T12:00", ["2026-04-23T22:00", "2026-04-24T21:30"]),
        # The last day of a month, and of February.
        ("UTC", "0 9 L * *", "2028-01-31T10:00", ["2028-02-29T09:00", "2028-03-31T09:00"]),
        ("UTC", "0 9 31,L * *", "2026-01-01T00:00", ["2026-01-31T09:00", "2026-02-28T09:00", "2026-03-31T09:00"]),
        # The last Friday in two spellings, a question mark, names.
        ("UTC", "0 0 * * 5L", "2026-01-01T00:00", ["2026-01-30T00:00", "2026-02-27T00:00"]),
        ("UTC", "0 0 ? * L5", "2026-01-01T00:00", ["2026-01-30T00:00", "2026-02-27T00:00"]),
        ("UTC", "0 0 ? * MON-FRI", "2026-01-02T00:00", ["2026-01-05T00:00"]),
        ("UTC", "0 0 1 JAN *", "2026-01-01T00:00", ["2027-01-01T00:00"]),
        ("UTC", "0 0 * * 7", "2026-01-01T00:00", ["2026-01-04T00:00"]),
        # A day of the month or a day of the week, as cron has it.
        ("UTC", "0 0 13 * 5", "2026-01-01T00:00", ["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00"]),
        ("Asia/Shanghai", "@daily", "2026-01-01T00:00", ["2026-01-01T16:00"]),
        ("UTC", "@Weekly", "2026-01-01T00:00", ["2026-01-04T00:00"]),
        ("UTC", "0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00"]),
    ],
)
def test_times_of_expressions(zone: str, expression: str, after: str, expected: list[str]) -> None:
    schedule, at, found = Schedule(expression, zone), utc(after), []
    for _ in expected:
        at = schedule.after(at)
        found.append(at)
    assert found == [utc(text) for text in expected]


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("* * * *", "UTC"),
        ("* * * * * *", "UTC"),
        ("60 * * * *", "UTC"),
        ("0 0 31 2 *", "UTC"),
        ("0 0 30 2 *", "UTC"),
        ("@sometimes", "UTC"),
        ("", "UTC"),
        ("a b c d e", "UTC"),
        ("0 0 * * *", ""),
        ("0 0 * * *", "Mars/Base"),
        ("0 0 * * *", "../UTC"),
        ("0 0 * * *", "/etc/localtime"),
        ("0 0 * * *", "\x00"),
    ],
)
def test_what_has_no_times_is_refused(expression: str, zone: str) -> None:
    with pytest.raises(InvalidSchedule):
        Schedule(expression, zone)


@given(expression=st.text(alphabet="0123456789*/,-L#? @abc", max_size=30), zone=st.text(max_size=20))
def test_any_text_has_times_or_is_refused(expression: str, zone: str) -> None:
    for place in ("UTC", zone):
        try:
            schedule = Schedule(expression, place)
        except InvalidSchedule:
            continue
        assert schedule.after(datetime(2026, 1, 1)) > datetime(2026, 1, 1)
