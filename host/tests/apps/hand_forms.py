"""What people write by hand into nodes, and what it becomes: a change, its form, and that of today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dify_host.apps.old_forms import by_hand

__all__ = ["HAND_CASES"]

HAND_CASES: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any], dict[str, Any]]] = [
    (by_hand.no_strategy, {"error_strategy": "none", "title": "x"}, {"title": "x"}),
    (by_hand.code_language, {"code_language": "Python"}, {"code_language": "python3"}),
    (by_hand.code_language, {"code_language": None}, {"code_language": "python3"}),
    (by_hand.code_language, {"code_language": "JavaScript"}, {"code_language": "javascript"}),
    (
        by_hand.code_outputs,
        {"outputs": {"a": {"type": "Array[Int]"}, "b": "str", "c": {"type": "bool"}, "d": {"type": "unheard of"}}},
        {
            "outputs": {
                "a": {"type": "array[number]"},
                "b": {"type": "string", "children": None},
                "c": {"type": "boolean"},
                "d": {"type": "unheard of"},
            }
        },
    ),
    (
        by_hand.code_outputs,
        {"outputs": [{"variable": "a", "type": "integer"}, {"name": "b", "type": "object"}]},
        {"outputs": {"a": {"type": "number", "children": None}, "b": {"type": "object", "children": None}}},
    ),
    (
        by_hand.header_lines,
        {"headers": {"X-A": "{{#a.b#}}", "X-B": 5}, "params": [{"key": "q", "value": "x:y"}, {"name": "n"}]},
        {"headers": "X-A:{{#a.b#}}\nX-B:5", "params": "q:x:y\nn:"},
    ),
    (
        by_hand.authorization_of_today,
        {"authorization": {"type": "none"}},
        {"authorization": {"type": "no-auth", "config": None}},
    ),
    (
        by_hand.authorization_of_today,
        {"authorization": {"type": "bearer", "config": {"api_key": "k"}}},
        {"authorization": {"type": "api-key", "config": {"type": "bearer", "api_key": "k"}}},
    ),
    (
        by_hand.body_kinds,
        {"body": {"type": "json", "data": {"q": "{{#a.b#}}", "n": [1]}}},
        {"body": {"type": "json", "data": [{"key": "", "type": "text", "value": '{"q": "{{#a.b#}}", "n": [1]}'}]}},
    ),
    (
        by_hand.body_kinds,
        {"body": {"type": "form", "data": {"a": 1}}},
        {"body": {"type": "form-data", "data": [{"key": "a", "type": "text", "value": "1"}]}},
    ),
    (
        by_hand.body_kinds,
        {"body": {"type": "raw", "data": [{"value": 5}, {"type": "file", "value": None}]}},
        {"body": {"type": "raw-text", "data": [{"value": "5"}, {"type": "file", "value": None}]}},
    ),
    (
        by_hand.completion_numbers,
        {"model": {"completion_params": {"temperature": "0.7", "max_tokens": "512", "seed": "x", "other": "1"}}},
        {"model": {"completion_params": {"temperature": 0.7, "max_tokens": 512, "seed": "x", "other": "1"}}},
    ),
    (by_hand.completion_numbers, {"model": {"completion_params": None}}, {"model": {"completion_params": {}}}),
    (by_hand.prompt_messages, {"prompt_template": "Hi"}, {"prompt_template": [{"role": "user", "text": "Hi"}]}),
    (
        by_hand.prompt_messages,
        {"prompt_template": "Hi", "model": {"mode": "completion"}},
        {"prompt_template": {"text": "Hi"}, "model": {"mode": "completion"}},
    ),
    (
        by_hand.prompt_messages,
        {"prompt_template": [{"role": "Human", "text": "a"}, {"role": "ai"}, {"role": "system"}]},
        {"prompt_template": [{"role": "user", "text": "a"}, {"role": "assistant"}, {"role": "system"}]},
    ),
    (
        by_hand.memory_size,
        {"memory": {"window": {"enabled": True, "size": "10"}}},
        {"memory": {"window": {"enabled": True, "size": 10}}},
    ),
    (by_hand.memory_size, {"memory": {"window": {"size": ""}}}, {"memory": {"window": {"size": None}}}),
    (
        by_hand.schema_object,
        {"structured_output": {"schema": '{"type": "object"}'}},
        {"structured_output": {"schema": {"type": "object"}}},
    ),
]
