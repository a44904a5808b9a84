"""The caller's own id of a request comes back in a header, when it is one."""

from __future__ import annotations

from typing import Any

import pytest

from .service_house import House, answers_with

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CASES: list[tuple[dict[str, str], str, Any, str | None]] = [
    ({}, "", None, None),
    ({"X-Trace-Id": "from-header"}, "?trace_id=query", "body", "from-header"),
    ({}, "?trace_id=from_query", "body", "from_query"),
    ({"traceparent": PARENT}, "", "from-body", "from-body"),
    ({"traceparent": PARENT}, "", None, "0af7651916cd43dd8448eb211c80319c"),
    ({"traceparent": "nonsense"}, "", None, None),
    ({"X-Trace-Id": "no blanks"}, "", "body", None),
    ({"X-Trace-Id": "x" * 129}, "", None, None),
    ({"X-Trace-Id": "x" * 128}, "", None, "x" * 128),
    ({}, "", 7, None),
    ({}, "", "a\nSet-Cookie: b", None),
]


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
async def test_the_id_comes_back(house: House, mode: str) -> None:
    chat = await house.app("advanced-chat", answers_with())
    for headers, query, in_body, told in CASES:
        body = {"inputs": {}, "query": "REPLY:x", "user": "u", "response_mode": mode, "trace_id": in_body}
        answer = await chat("POST", f"/chat-messages{query}", body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers.get("X-Trace-Id") == told, (headers, query, in_body)
