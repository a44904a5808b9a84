"""Runs a Python program: defines its names, calls `main` with keyword arguments, encodes what it returns."""

from __future__ import annotations

import json
import sys

from .outcome import SOURCE_NAME, Failure

__all__ = ["run"]


def run(code: str, inputs: bytes) -> bytes:
    """Return the JSON text of what `main` returned; user errors come out as they were raised."""
    module = type(sys)("main")
    module.__file__ = SOURCE_NAME
    sys.modules["main"] = module  # dataclasses and pickle look a class's module up there
    exec(compile(code, SOURCE_NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the point of the jail
    main = module.__dict__.get("main")
    if not callable(main):
        raise Failure("MainMissing", "The code defines no function named main. Add: def main(...): return {...}")
    return _encode(main(**json.loads(inputs)))


def _encode(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as exc:
        raise Failure("NotJSON", "main returned text that is not Unicode: it holds a lone surrogate.") from exc
    except (TypeError, ValueError, RecursionError) as exc:
        problem = _first_problem(value, "result", 0) or f"the value cannot be encoded ({exc})"
        raise Failure("NotJSON", f"main returned a value that is not JSON: {problem}.") from exc


def _first_problem(value: object, where: str, depth: int) -> str:
    """Name the first part of `value` that JSON cannot hold, with the way to it; "" if there is none."""
    if value is None or isinstance(value, (bool, int, str)):
        return ""
    if isinstance(value, float):
        return "" if value - value == 0 else f"{where} is {value}"
    if depth > 100:
        return f"{where} is nested too deeply, or contains itself"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, type(None))):
                return f"{where} has a key of type {type(key).__name__}"
            if problem := _first_problem(item, f"{where}.{key}", depth + 1):
                return problem
        return ""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if problem := _first_problem(item, f"{where}[{index}]", depth + 1):
                return problem
        return ""
    return f"{where} is of type {type(value).__name__}"
