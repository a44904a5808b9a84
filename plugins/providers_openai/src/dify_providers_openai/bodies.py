"""Pure translation of a request of the contract into a body of the API."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from dify_kernel.contracts.model import (
    AudioPart,
    Content,
    DocumentPart,
    ImagePart,
    LLMRequest,
    PromptMessage,
    TextPart,
    ToolSpec,
)
from dify_kernel.errors import InvokeBadRequestError

from dify_providers_openai.catalog import is_reasoning

__all__ = ["chat_body", "completion_body"]


def chat_body(request: LLMRequest) -> dict[str, Any]:
    """The body of /chat/completions, without the stream fields."""
    body: dict[str, Any] = {"model": request.model, "messages": [_message(message) for message in request.messages]}
    body.update(_parameters(request))
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.json_schema is not None:
        body["response_format"] = _schema_format(request.json_schema)
    return body


def completion_body(request: LLMRequest) -> dict[str, Any]:
    """The body of /completions, without the stream fields: the texts of the messages are the prompt."""
    body = {"model": request.model, "prompt": "\n".join(message.text for message in request.messages)}
    parameters = _parameters(request)
    parameters.pop("response_format", None)
    return body | parameters


def _parameters(request: LLMRequest) -> dict[str, Any]:
    parameters = {name: value for name, value in request.parameters.items() if value is not None}
    schema = parameters.pop("json_schema", None)
    wanted = parameters.pop("response_format", None)
    if wanted == "json_schema" and schema:
        parameters["response_format"] = _schema_format(_decoded_schema(schema))
    elif wanted in ("json_object", "JSON"):
        parameters["response_format"] = {"type": "json_object"}
    elif isinstance(wanted, dict):
        parameters["response_format"] = wanted
    if "max_tokens" in parameters and is_reasoning(request.model):
        parameters["max_completion_tokens"] = parameters.pop("max_tokens")
    if request.stop:
        parameters["stop"] = list(request.stop)
    if request.user:
        parameters["user"] = request.user
    return parameters


def _decoded_schema(schema: Any) -> dict[str, Any]:
    """The schema that a user typed; the API's own wrapping (`name`, `schema`) is accepted, too."""
    try:
        decoded = msgspec.json.decode(schema) if isinstance(schema, str) else schema
    except msgspec.DecodeError as exc:
        raise InvokeBadRequestError(f"The parameter json_schema is not JSON: {exc}.") from exc
    if not isinstance(decoded, dict):
        raise InvokeBadRequestError("The parameter json_schema is not a JSON object.")
    inner = decoded.get("schema")
    return inner if isinstance(inner, dict) else decoded


def _schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(schema.get("title") or "answer"))[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": _can_be_strict(schema)},
    }


def _can_be_strict(schema: Any) -> bool:
    """Whether the API's strict mode takes the schema: every object closed and every property required."""
    if isinstance(schema, list):
        return all(map(_can_be_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
        return all(map(_can_be_strict, properties.values()))
    return all(_can_be_strict(schema[key]) for key in ("items", "anyOf", "oneOf", "allOf") if key in schema)


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: PromptMessage) -> dict[str, Any]:
    content = message.content
    out: dict[str, Any] = {
        "role": message.role,
        "content": content if isinstance(content, str) else [_part(part) for part in content],
    }
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if message.role in ("assistant", "system"):
        out["content"] = message.text
    if message.name:
        out["name"] = message.name
    if message.tool_calls:
        out["content"] = message.text or None
        out["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return out


def _part(part: Content) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.data_url, "detail": part.detail}}
    if isinstance(part, AudioPart):
        sound = {"data": _bytes(part, "sound"), "format": _sound_format(part)}
        return {"type": "input_audio", "input_audio": sound}
    if isinstance(part, DocumentPart):
        data = f"data:{part.mime_type};base64,{_bytes(part, 'document')}"
        return {"type": "file", "file": {"filename": part.filename or "document", "file_data": data}}
    return {"type": "video_url", "video_url": {"url": part.data_url}}


def _bytes(part: AudioPart | DocumentPart, kind: str) -> str:
    if not part.base64_data:
        raise InvokeBadRequestError(
            f"This API takes a {kind} by its bytes, not by an address.", hint="Set MULTIMODAL_SEND_FORMAT=base64."
        )
    return part.base64_data


def _sound_format(part: AudioPart) -> str:
    subtype = part.mime_type.rpartition("/")[2].removeprefix("x-")
    return {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav"}.get(subtype, subtype or "wav")
