"""Each tool's answers, and errors that name the parameter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dify_kernel.errors import ToolError
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
    ("tool", "parameters", "word"),
    [
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


def test_every_tool_describes_its_parameters() -> None:
    for tool in TimeTools(http=None).tools():  # type: ignore[arg-type]
        assert tool.description
        assert all(parameter.name for parameter in tool.parameters)
