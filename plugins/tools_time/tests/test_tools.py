"""Each tool's answers, and errors that name the parameter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dify_kernel.contracts.tool import TextMessage
from dify_kernel.errors import ToolError
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.tool import ToolExample, ToolProviderSuite
from dify_tools_time.tools import NoCredentials, TimeTools


async def call(tool: str, **parameters: Any) -> str:
    tools = TimeTools(http=None)  # type: ignore[arg-type]
    return "".join([message.text async for message in tools.invoke(tool, parameters, NoCredentials())])


async def test_the_time_now_is_the_clocks() -> None:
    told = datetime.strptime(await call("current_time", timezone="UTC"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2024-07-01 12:00:00", "2024-07-01 14:00:00"), ("2024-12-01 12:00:00", "2024-12-01 13:00:00")],
)
async def test_conversion_knows_summer_time(given: str, expected: str) -> None:
    got = await call("timezone_conversion", current_time=given, current_timezone="UTC", target_timezone="Europe/Berlin")
    assert got == expected


async def test_the_weekday_of_a_date() -> None:
    assert await call("weekday", year=2024, month=2, day=29) == "Thursday"


@pytest.mark.parametrize(
    ("timezone", "localtime"), [("UTC", "1970-01-02 00:00:00"), ("Asia/Tokyo", "1970-01-02 09:00:00")]
)
async def test_timestamps_and_local_times_are_the_same_moment(timezone: str, localtime: str) -> None:
    assert await call("localtime_to_timestamp", localtime=localtime, timezone=timezone) == "86400"
    assert await call("timestamp_to_localtime", timestamp=86400, timezone=timezone) == localtime


@pytest.mark.parametrize(
    ("tool", "parameters", "word"),
    [
        ("localtime_to_timestamp", {"localtime": "noon"}, "localtime"),
        ("timestamp_to_localtime", {"timestamp": "soon"}, "timestamp"),
        ("timestamp_to_localtime", {"timestamp": 10**20}, "timestamp"),
        ("weekday", {"year": 2023, "month": 2, "day": 29}, "day"),
        ("weekday", {}, "day"),
        ("current_time", {"timezone": "Mars/Base"}, "timezone"),
        ("no", {}, "no"),
        (
            "timezone_conversion",
            {"current_time": "x", "current_timezone": "UTC", "target_timezone": "UTC"},
            "current_time",
        ),
    ],
)
async def test_a_wrong_parameter_is_named(tool: str, parameters: dict[str, Any], word: str) -> None:
    with pytest.raises(ToolError, match=word):
        await call(tool, **parameters)


class TestContract(ToolProviderSuite):
    examples = [
        ToolExample(tool="current_time", parameters={"format": "%Z", "timezone": "UTC"}, messages=[TextMessage("UTC")]),
        ToolExample(
            tool="timezone_conversion",
            parameters={
                "current_time": "2024-01-01 00:00:00",
                "current_timezone": "UTC",
                "target_timezone": "Asia/Tokyo",
            },
            messages=[TextMessage("2024-01-01 09:00:00")],
        ),
        ToolExample(
            tool="localtime_to_timestamp",
            parameters={"localtime": "1970-01-01 08:00:01"},
            messages=[TextMessage("1")],
        ),
        ToolExample(
            tool="timestamp_to_localtime", parameters={"timestamp": 1}, messages=[TextMessage("1970-01-01 08:00:01")]
        ),
        ToolExample(
            tool="weekday", parameters={"year": 2024, "month": 2, "day": 29}, messages=[TextMessage("Thursday")]
        ),
    ]

    @pytest.fixture
    def tools(self) -> TimeTools:
        return TimeTools(FakeHttp())

    @pytest.fixture
    def credentials(self) -> NoCredentials:
        return NoCredentials()
