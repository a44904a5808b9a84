"""What the scripted OpenAI-compatible server answers, route by route; no sockets here."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from dify_kernel.testing.fake_models import overlap, word_vector
from dify_kernel.testing.script import Scripted, ScriptedFailure, count_tokens, play

__all__ = ["Answer", "answer_to"]

MODELS = ("scripted-chat", "scripted-embedding", "scripted-rerank", "scripted-voice")
CREATED = 1_700_000_000
_numbers = itertools.count(1)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole body, or a stream of pieces; an empty piece breaks the connection off."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = []
    stream: AsyncIterator[bytes] | None = None


def answer_to(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer to one request."""
    key = headers.get("authorization", "").removeprefix("Bearer ")
    if key == "bad-key":
        return _refusal(401, "Incorrect API key provided: bad-key.", "invalid_api_key")
    if key == "limited":
        refused = _refusal(429, "Rate limit reached for requests.", "rate_limit_exceeded")
        return msgspec.structs.replace(refused, headers=[("retry-after", "1")])
    route = _ROUTES.get((method, "/" + path.strip("/").removeprefix("v1/")))
    if route is None or (key == "plain-server" and route is _models):
        return _refusal(404, f"Invalid URL ({method} {path}).", "unknown_url")
    try:
        asked = _asked(headers, body)
        if str(asked.get("model", "")).startswith("missing"):
            raise ScriptedFailure(f"The model `{asked['model']}` does not exist.", 404)
        return route(asked, key)
    except ScriptedFailure as exc:
        return _refusal(exc.status, exc.message, "model_not_found" if exc.status == 404 else None)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as exc:
        return _refusal(400, f"Bad request: {type(exc).__name__}: {exc}.", None)


def _asked(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    content_type = headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        return _form(content_type.split("boundary=", 1)[1].strip('"'), body)
    return dict(msgspec.json.decode(body)) if body else {}


def _form(boundary: str, body: bytes) -> dict[str, Any]:
    """Fields as text; files as (name, bytes)."""
    fields: dict[str, Any] = {}
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        said = {}
        for item in head.decode("utf-8", "replace").replace("\r\n", ";").split(";"):
            name, _, value = item.strip().partition("=")
            said[name.lower()] = value.strip('"')
        fields[said["name"]] = (said["filename"], content) if "filename" in said else content.decode()
    return fields


def _refusal(status: int, message: str, code: str | None) -> Answer:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return _json({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(value))


# -- chat and completion -----------------------------------------------------------------------------------------


def _text(content: Any) -> str:
    """The texts of a message's content; other parts show their kind and how they begin."""
    if isinstance(content, str) or content is None:
        return content or ""
    shown = []
    for part in content:
        if part["type"] == "text":
            shown.append(part["text"])
        elif part["type"] == "image_url":
            shown.append(f"[image_url {part['image_url']['url'][:40]}]")
        elif part["type"] == "input_audio":
            shown.append(f"[input_audio {part['input_audio']['format']}]")
        else:
            shown.append(f"[{part['type']}]")
    return "\n".join(shown)


def _chat(asked: dict[str, Any], key: str) -> Answer:
    messages = asked["messages"]
    last = next((message for message in reversed(messages) if message["role"] in ("user", "tool")), messages[-1])
    wanted = asked.get("response_format") or {}
    scripted = play(
        "tool" if messages[-1]["role"] == "tool" else "user",
        _text(last["content"]),
        tools=[tool["function"]["name"] for tool in asked.get("tools") or ()],
        schema=wanted["json_schema"].get("schema", {}) if wanted.get("type") == "json_schema" else None,
        max_tokens=asked.get("max_completion_tokens") or asked.get("max_tokens"),
        stop=_stop_words(asked),
    )
    prompt = sum(count_tokens(_text(message.get("content"))) for message in messages)
    if not asked.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": scripted.text or None}
        if scripted.reasoning:
            message["reasoning_content"] = scripted.reasoning
        if scripted.tool_calls:
            message["tool_calls"] = [_call(number, call) for number, call in enumerate(scripted.tool_calls)]
        choice = {"index": 0, "message": message, "finish_reason": scripted.finish_reason}
        return _json({**_envelope(asked, "chat.completion"), "choices": [choice], "usage": _usage(prompt, scripted)})
    return _streamed(asked, key, scripted, prompt, "chat.completion.chunk", _chat_deltas)


def _completion(asked: dict[str, Any], key: str) -> Answer:
    prompt_text = asked["prompt"] if isinstance(asked["prompt"], str) else "".join(asked["prompt"])
    scripted = play("user", prompt_text, max_tokens=asked.get("max_tokens"), stop=_stop_words(asked))
    prompt = count_tokens(prompt_text)
    if not asked.get("stream"):
        choice = {"index": 0, "text": scripted.text, "finish_reason": scripted.finish_reason}
        return _json({**_envelope(asked, "text_completion"), "choices": [choice], "usage": _usage(prompt, scripted)})
    return _streamed(asked, key, scripted, prompt, "text_completion", _completion_deltas)


def _stop_words(asked: dict[str, Any]) -> list[str]:
    stop = asked.get("stop") or []
    return [stop] if isinstance(stop, str) else list(stop)


def _call(number: int, call: tuple[str, str]) -> dict[str, Any]:
    name, arguments = call
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _envelope(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": f"scripted-{next(_numbers)}", "object": kind, "created": CREATED, "model": asked["model"]}


def _usage(prompt: int, scripted: Scripted) -> dict[str, int]:
    completion = len(scripted.pieces) + sum(count_tokens(arguments) for _, arguments in scripted.tool_calls)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _streamed(
    asked: dict[str, Any],
    key: str,
    scripted: Scripted,
    prompt: int,
    kind: str,
    deltas: Callable[[Scripted, str], list[str]],
) -> Answer:
    options = asked.get("stream_options")
    if options is not None and key == "old-server":
        raise ScriptedFailure("Unrecognized request argument supplied: stream_options")
    envelope = json.dumps(_envelope(asked, kind))[:-1]
    frames = [f"data: {frame}\n\n".encode() for frame in deltas(scripted, envelope)]
    if options and options.get("include_usage"):
        usage = json.dumps(_usage(prompt, scripted))
        frames.append(f'data: {envelope}, "choices": [], "usage": {usage}}}\n\n'.encode())
    frames.append(b"data: [DONE]\n\n")
    return Answer(content_type="text/event-stream", stream=_frames(frames, scripted))


async def _frames(frames: list[bytes], scripted: Scripted) -> AsyncIterator[bytes]:
    for number, frame in enumerate(frames):
        if scripted.drop_after is not None and number > scripted.drop_after:
            yield b""
            return
        if scripted.delay:
            await asyncio.sleep(scripted.delay)
        yield frame


def _chat_deltas(scripted: Scripted, envelope: str) -> list[str]:
    def frame(delta: str, finish: str = "null") -> str:
        return f'{envelope}, "choices": [{{"index": 0, "delta": {delta}, "finish_reason": {finish}}}]}}'

    frames = [frame('{"role": "assistant", "content": ""}')]
    if scripted.reasoning:
        frames.append(frame(json.dumps({"reasoning_content": scripted.reasoning})))
    for number, (name, arguments) in enumerate(scripted.tool_calls):
        first = {"index": number, "id": f"call_{number}", "type": "function"}
        first["function"] = {"name": name, "arguments": ""}
        frames.append(frame(json.dumps({"tool_calls": [first]})))
        for at in range(0, len(arguments), 8):
            piece = {"index": number, "function": {"arguments": arguments[at : at + 8]}}
            frames.append(frame(json.dumps({"tool_calls": [piece]})))
    frames += [frame('{"content": ' + json.dumps(piece) + "}") for piece in scripted.pieces]
    return [*frames, frame("{}", json.dumps(scripted.finish_reason))]


def _completion_deltas(scripted: Scripted, envelope: str) -> list[str]:
    def frame(text: str, finish: str = "null") -> str:
        return f'{envelope}, "choices": [{{"index": 0, "text": {json.dumps(text)}, "finish_reason": {finish}}}]}}'

    return [*(frame(piece) for piece in scripted.pieces), frame("", json.dumps(scripted.finish_reason))]


# -- the other routes --------------------------------------------------------------------------------------------


def _embeddings(asked: dict[str, Any], key: str) -> Answer:
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    data = []
    for index, text in enumerate(texts):
        if "FAIL:" in text:
            play("user", text)
        vector: Any = word_vector(text, asked.get("dimensions") or 64)
        if asked.get("encoding_format") == "base64" and key != "plain-server":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(count_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    # In another order than asked: the index says which is which.
    return _json({"object": "list", "model": asked["model"], "data": data[::-1], "usage": usage})


def _rerank(asked: dict[str, Any], key: str) -> Answer:
    documents = [item if isinstance(item, str) else item["text"] for item in asked["documents"]]
    scores = [(overlap(asked["query"], text), index) for index, text in enumerate(documents)]
    scores.sort(key=lambda pair: (-pair[0], pair[1]))
    results = [{"index": index, "relevance_score": score} for score, index in scores[: asked.get("top_n")]]
    return _json({"id": f"scripted-{next(_numbers)}", "model": asked["model"], "results": results})


def _models(asked: dict[str, Any], key: str) -> Answer:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in MODELS]
    return _json({"object": "list", "data": data})


def _moderations(asked: dict[str, Any], key: str) -> Answer:
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    results = [{"flagged": "FLAG:" in text, "categories": {"violence": "FLAG:" in text}} for text in texts]
    return _json({"id": f"scripted-{next(_numbers)}", "model": asked.get("model", ""), "results": results})


def _transcription(asked: dict[str, Any], key: str) -> Answer:
    filename, data = asked["file"]
    return _json({"text": f"ECHO({filename}, {len(data)} bytes)"})


def _speech(asked: dict[str, Any], key: str) -> Answer:
    """Silence, ten milliseconds a character, as a WAV file of 8000 bytes a second."""
    if "FAIL:" in asked["input"]:
        play("user", asked["input"])
    size = 80 * len(asked["input"])
    head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    sound = head + b"data" + struct.pack("<I", size) + b"\x80" * size
    return Answer(content_type="audio/wav", stream=_sound(sound))


async def _sound(sound: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(sound), 4096):
        yield sound[at : at + 4096]


_ROUTES: dict[tuple[str, str], Callable[[dict[str, Any], str], Answer]] = {
    ("POST", "/chat/completions"): _chat,
    ("POST", "/completions"): _completion,
    ("POST", "/embeddings"): _embeddings,
    ("POST", "/rerank"): _rerank,
    ("GET", "/models"): _models,
    ("POST", "/moderations"): _moderations,
    ("POST", "/audio/transcriptions"): _transcription,
    ("POST", "/audio/speech"): _speech,
}
