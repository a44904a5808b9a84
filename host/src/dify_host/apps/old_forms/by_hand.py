"""What people and models write by hand into the `data` of nodes, where an editor would have written something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items

__all__ = [
    "HAND_RULES",
    "authorization_of_today",
    "body_kinds",
    "code_language",
    "code_outputs",
    "completion_numbers",
    "header_lines",
    "memory_size",
    "no_strategy",
    "prompt_messages",
    "schema_object",
]

_LANGUAGES: Final = {
    **dict.fromkeys(("python", "py", "python 3", "python-3"), "python3"),
    **dict.fromkeys(("js", "node", "nodejs", "ecmascript"), "javascript"),
}
_OUTPUT_TYPES: Final = {
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("int", "integer", "float"), "number"),
    "bool": "boolean",
    **dict.fromkeys(("dict", "json", "map"), "object"),
}
_BODIES: Final = {
    **dict.fromkeys(("raw", "text", "plain"), "raw-text"),
    **dict.fromkeys(("form-urlencoded", "urlencoded", "application/x-www-form-urlencoded"), "x-www-form-urlencoded"),
    **dict.fromkeys(("form", "multipart", "multipart/form-data"), "form-data"),
    "application/json": "json",
}
_FORMS: Final = ("form-data", "x-www-form-urlencoded")
_KEYS: Final = ("bearer", "basic", "custom")
_ROLES: Final = {
    **dict.fromkeys(("human",), "user"),
    **dict.fromkeys(("ai", "bot", "model"), "assistant"),
}
_NUMBERS: Final[dict[str, Callable[[str], float]]] = {
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), float),
    **dict.fromkeys(("max_tokens", "top_k", "seed"), int),
}


def no_strategy(data: Mapping) -> Mapping:
    """The error strategy `none` is none."""
    if data.get("error_strategy") != "none":
        return data
    return {key: value for key, value in data.items() if key != "error_strategy"}


# -- code ----------------------------------------------------------------------------------------------------------


def code_language(data: Mapping) -> Mapping:
    """A language by another name, or in capitals; one that is null is Python."""
    given = data.get("code_language")
    if "code_language" in data and given is None:
        return {**data, "code_language": "python3"}
    if not isinstance(given, str):
        return data
    plain = given.strip().lower()
    meant = _LANGUAGES.get(plain, plain)
    return data if meant == given else {**data, "code_language": meant}


def code_outputs(data: Mapping) -> Mapping:
    """Outputs as a list, or with their types alone, become a mapping; types by other names those of code."""
    outputs = data.get("outputs")
    if isinstance(outputs, list):
        named = [(item.get("variable") or item.get("name"), item) for item in outputs if isinstance(item, dict)]
        if len(named) < len(outputs) or not all(isinstance(name, str) and name for name, _ in named):
            return data
        outputs = {name: {"type": item.get("type"), "children": item.get("children")} for name, item in named}
    if not isinstance(outputs, dict):
        return data
    new = {name: _output(spec) for name, spec in outputs.items()}
    return data if new == data.get("outputs") else {**data, "outputs": new}


def _output(spec: Any) -> Any:
    if isinstance(spec, str):
        return {"type": _output_type(spec), "children": None}
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        return spec
    return {**spec, "type": _output_type(spec["type"])}


def _output_type(given: str) -> str:
    plain = given.strip().lower()
    if plain.startswith("array[") and plain.endswith("]"):
        return f"array[{_output_type(plain[6:-1])}]"
    return _OUTPUT_TYPES.get(plain, plain)


# -- HTTP requests -------------------------------------------------------------------------------------------------


def header_lines(data: Mapping) -> Mapping:
    """Headers and parameters as a mapping, or as a list of pairs, become lines."""
    new = {key: lines for key in ("headers", "params") if (lines := _lines(data.get(key))) is not None}
    return {**data, **new} if new else data


def _lines(value: Any) -> str | None:
    """The lines; None for what has them already, or has no pairs."""
    pairs = _pairs(value)
    return None if pairs is None else "\n".join(f"{key}:{text}" for key, text in pairs)


def _pairs(value: Any) -> list[tuple[str, str]] | None:
    if isinstance(value, dict):
        return [(str(key), _text(item)) for key, item in value.items()]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [(str(item.get("key") or item.get("name") or ""), _text(item.get("value"))) for item in value]
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def authorization_of_today(data: Mapping) -> Mapping:
    """An authorization without a type, or of the type `none`, is none; one of the kind of its key has a key."""
    given = data.get("authorization")
    if not isinstance(given, dict):
        return data
    kind = given.get("type")
    if kind in (None, "", "none"):
        return {**data, "authorization": {"type": "no-auth", "config": None}}
    if kind not in _KEYS:
        return data
    config = given.get("config")
    found = {"type": kind, **(config if isinstance(config, dict) else {})}
    return {**data, "authorization": {"type": "api-key", "config": found}}


def body_kinds(data: Mapping) -> Mapping:
    """A kind of body by another name; a JSON body that is no text; values of forms that are no texts."""
    body = data.get("body")
    if not isinstance(body, dict):
        return data
    new = dict(body)
    kind = body.get("type")
    if isinstance(kind, str):
        kind = new["type"] = _BODIES.get(kind.lower(), kind)
    content = body.get("data")
    if isinstance(content, dict) and kind == "json":
        new["data"] = [{"key": "", "type": "text", "value": _text(content)}]
    elif isinstance(content, dict) and kind in _FORMS:
        new["data"] = [{"key": str(key), "type": "text", "value": _text(value)} for key, value in content.items()]
    elif isinstance(content, list):
        new["data"] = changed_items({"data": content}, "data", _item)["data"]
    return data if new == body else {**data, "body": new}


def _item(item: Mapping) -> Mapping:
    value = item.get("value")
    return item if value is None or isinstance(value, str) else {**item, "value": _text(value)}


# -- models --------------------------------------------------------------------------------------------------------


def completion_numbers(data: Mapping) -> Mapping:
    """Parameters of a model that are null are none; numbers that are written as texts are numbers."""
    model = data.get("model")
    if not isinstance(model, dict) or "completion_params" not in model:
        return data
    given = model["completion_params"]
    new = {name: _number(name, value) for name, value in given.items()} if isinstance(given, dict) else {}
    return data if new == given else {**data, "model": {**model, "completion_params": new}}


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name not in _NUMBERS:
        return value
    try:
        return _NUMBERS[name](value)
    except ValueError:
        return value


def prompt_messages(data: Mapping) -> Mapping:
    """A prompt that is one text is what the user says; roles by other names are those of messages."""
    prompt = data.get("prompt_template")
    model = data.get("model")
    if isinstance(prompt, str):
        completes = isinstance(model, dict) and model.get("mode") == "completion"
        return {**data, "prompt_template": {"text": prompt} if completes else [{"role": "user", "text": prompt}]}
    return changed_items(data, "prompt_template", _with_role)


def _with_role(message: Mapping) -> Mapping:
    role = message.get("role")
    meant = _ROLES.get(role.lower()) if isinstance(role, str) else None
    return {**message, "role": meant} if meant else message


def memory_size(data: Mapping) -> Mapping:
    """The size of a memory's window is a number, or none."""
    memory = data.get("memory")
    window = memory.get("window") if isinstance(memory, dict) else None
    size = window.get("size") if isinstance(window, dict) else None
    if not isinstance(memory, dict) or not isinstance(window, dict) or not isinstance(size, str):
        return data
    number = int(size) if size.strip().isdecimal() else None
    return {**data, "memory": {**memory, "window": {**window, "size": number}}}


def schema_object(data: Mapping) -> Mapping:
    """A schema of answers that is the text of one."""
    given = data.get("structured_output")
    schema = given.get("schema") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(schema, str):
        return data
    try:
        found = msgspec.json.decode(schema)
    except msgspec.DecodeError:
        return data
    return {**data, "structured_output": {**given, "schema": found}} if isinstance(found, dict) else data


_HTTP: Final = ("http-request",)
_LLM: Final = ("llm",)
_MODELS: Final = ("llm", "question-classifier", "parameter-extractor")
HAND_RULES: Final = (
    Rule("no-strategy", "An error strategy was `none`.", no_strategy),
    Rule("code-language", "The language of code had another name.", code_language, ("code",)),
    Rule("code-outputs", "Outputs of code were a list, or had types by other names.", code_outputs, ("code",)),
    Rule("http-lines", "Headers or parameters of an HTTP request were no lines.", header_lines, _HTTP),
    Rule(
        "http-authorization", "The authorization of an HTTP request was of another type.", authorization_of_today, _HTTP
    ),
    Rule("http-body-kind", "The body of an HTTP request was of another type, or no text.", body_kinds, _HTTP),
    Rule("completion-params", "Parameters of a model were texts, or null.", completion_numbers, _MODELS),
    Rule("prompt-messages", "A prompt was one text, or had roles by other names.", prompt_messages, _LLM),
    Rule("memory-size", "The size of a memory was a text.", memory_size, _MODELS),
    Rule("schema-text", "The schema of an answer was a text.", schema_object, _LLM),
)
