"""What the models and services behind some published apps say, where their graphs ask for more than an echo gives."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["ANSWERS", "Answers"]

_URL = "http://files.test/a.png"
_MAIL = {"headers": [{"name": "Subject", "value": "Tea"}], "parts": [{"body": {"data": "VGVh"}}]}
_LINES = [{"type": "function", "signature": "def f():", "codes": "pass"}]
_LANGUAGES = ("java", "python", "golang", "go", "c++", "javascript", "typescript")
_REPORT = {"technical_summary": {"trend": "up"}, "recent_data": [1], "report": "good"}
_WEATHER = {"month": 1, "maxTemp": 3, "minTemp": -4, "rainfall": 2.5}
_SAFE = {"is_safe": "true", "is_agentic_action": "false", "need_approval": "false", "is_past_incident": "false"}


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """For one app: what each model says, the JSON of each HTTP answer, a tool's text and JSON, and inputs to give."""

    model: str = ""
    http: Any = None
    tool: str = ""
    tool_json: list[Any] | None = None
    inputs: dict[str, Any] = {}


def _fenced(value: Any) -> str:
    return f"```json\n{_json(value)}\n```"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_LINK = Answers(http={"data": {"url": _URL}})
_VIDEO = Answers(http={"video_url": "http://files.test/a.mp4"})
_PICTURES = Answers(http={"data": [{"url": _URL}, {"no": "address"}]})
_RESEARCH = Answers(model=_json({"nextSearchTopic": "tea", "shouldContinue": False}))
#: By the number of the file.
ANSWERS: dict[str, Answers] = {
    "003": Answers(tool=_json({"filename": "a.png", "etag": _URL})),
    "014": _LINK,
    "020": Answers(http={"data": {"beginYear": 1990, "endYear": 2020, "data": [_WEATHER]}}),
    "038": _PICTURES,
    "043": Answers(model=_fenced({"金额": 3})),
    "047": Answers(http={"choices": [{"message": {"content": "text"}}]}),
    "060": Answers(model=_fenced([{"title": "tea", "sql": "select 1"}])),
    "062": Answers(tool_json=[{"markdown": "# Tea"}]),
    "077": Answers(tool_json=[{"href": f"http://tea.test/{number}", "title": "Tea"} for number in range(5)]),
    "079": _VIDEO,
    "083": Answers(model=_json({"issue_date": "2026-01-02", "items": [{"name": "tea"}]})),
    "096": _VIDEO,
    "107": _LINK,
    "111": _RESEARCH,
    "112": Answers(tool=_json({"json": {"out_file_name": "f", **dict.fromkeys(_LANGUAGES, _LINES)}})),
    "117": Answers(http=_REPORT),
    "119": Answers(
        model=_json({"confidence_score": 0.5, "agent_response": "text", "context": "text", "tools": [{}], **_SAFE})
    ),
    "125": Answers(model=_fenced([{"chapter": "One", "title": "Tea", "contents": ["Hills", "Rain"]}])),
    "132": Answers(inputs={"sql_batch": '["select 1", "select 2"]'}),
    "133": Answers(tool=_json({"data": {"title": "Tea", "content": "Green."}})),
    "143": Answers(model=_json([{"section": "Hills", "bullets": ["a"]}, {"section": "Rain", "bullets": ["b"]}])),
    "144": Answers(http={"success": True, "data": {"video_url": "http://files.test/a.mp4"}}),
    "153": _PICTURES,
    "159": Answers(tool=_json({"messages": [{"id": "1"}], "payload": _MAIL})),
    "170": _RESEARCH,
}
