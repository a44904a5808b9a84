"""Runs a JavaScript program in QuickJS: defines its names, calls `main` with one object, encodes what it returns.

The language is ES2023 without any host object but `console`. Time is limited by the zygote's clock, memory by the
engine's own limit (typed arrays included) under the process's limit.
"""

from __future__ import annotations

import re
import sys

from .outcome import Failure

__all__ = ["run"]

_STACK = 4 << 20
#: What frames of ours are called; below the first of them is nothing of the user's.
_OUR_FRAME = "    at sandbox_"
_FIRST_FRAME = "    at sandbox_call "
#: Names that programs for Node.js or for browsers begin with.
_NOT_HERE = re.compile(
    r"ReferenceError: '?(require|module|exports|process|Buffer|fetch|XMLHttpRequest|setTimeout|setInterval|URL|"
    r"URLSearchParams|TextEncoder|TextDecoder|atob|btoa|structuredClone|crypto|window|document)'? is not defined"
)
_LANGUAGE_ALONE = (
    "The sandbox has the JavaScript language and `console`, and nothing of Node.js or a browser. Write it without, or "
    "in Python, whose standard library is there; a request is the work of an HTTP request node."
)

# Built-ins are taken before user code can replace them. `check` names the part of a result that JSON cannot hold.
_PRELUDE = """
(function (print, zoneOffset) {
  "use strict";
  const stringify = JSON.stringify, parse = JSON.parse, text = String, isArray = Array.isArray;
  const join = Array.prototype.join, consoleNames = ["log", "info", "debug", "warn", "error"];
  // The engine keeps long sums of texts in parts, which the binding does not take; a joined text is whole.
  const flat = (...parts) => join.call(parts, "");
  const repair = (s) => s.replace(/\\p{Surrogate}/gu, "\\ufffd");
  const show = (v) => {
    if (typeof v === "string") return v;
    if (v instanceof Error) return `${v}\\n${v.stack}`;
    try { const shown = stringify(v); return shown === undefined ? text(v) : shown; } catch (e) { return text(v); }
  };
  const sandbox_log = (...values) => { print(flat(repair(values.map(show).join(" ")), "\\n")); };
  globalThis.console = Object.fromEntries(consoleNames.map((name) => [name, sandbox_log]));
  for (const name of ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"]) {
    const plain = Date.prototype[name];
    Date.prototype[name] = function sandbox_shown(locales, options) {
      const zone = options?.timeZone, time = +this;
      if (zone === undefined || Number.isNaN(time)) return plain.call(this, locales, options);
      const offset = zoneOffset(flat(zone), time);
      if (offset === null) throw new RangeError(`Invalid time zone specified: ${zone}`);
      return plain.call(new Date(time + offset), locales, options);
    };
  }
  class NotJSON extends Error { get name() { return "NotJSON"; } }
  const refuse = (where, what) => { throw new NotJSON(`${where} ${what}`); };
  const check = (value, where, depth) => {
    if (depth > 100) refuse(where, "is nested too deeply, or contains itself");
    if (typeof value === "number" && !Number.isFinite(value)) refuse(where, `is ${value}`);
    if (typeof value === "string" && /\\p{Surrogate}/u.test(value)) refuse(where, "is text with a lone surrogate");
    if (["function", "symbol", "bigint"].includes(typeof value)) refuse(where, `is a ${typeof value}`);
    if (value === null || typeof value !== "object") return;
    if (typeof value.toJSON === "function") return check(value.toJSON(), where, depth + 1);
    if (value instanceof Map || value instanceof Set) refuse(where, `is a ${value.constructor.name}`);
    if (isArray(value)) value.forEach((item, i) => check(item, `${where}[${i}]`, depth + 1));
    else for (const key of Object.keys(value)) check(value[key], `${where}.${key}`, depth + 1);
  };
  const encode = (value) => {
    if (value === undefined) refuse("result", "is undefined");
    check(value, "result", 0);
    return stringify(value);
  };
  let answer, failed = false, error;
  const keep = (value) => { answer = encode(value); };
  const sandbox_call = (main, inputs) => {
    const value = main(parse(inputs));
    if (value instanceof Promise) value.then(keep).catch((e) => { failed = true; error = e; });
    else keep(value);
  };
  const sandbox_answer = () => { if (failed) throw error; return answer; };
  return (what, ...values) => what === "call" ? sandbox_call(...values) : sandbox_answer();
})(__print, __zoneOffset)
"""


def run(code: str, inputs: bytes, memory: int) -> bytes:
    """Return the JSON text of what `main` returned, or of what its promise became."""
    engine = sys.modules.get("_quickjs")
    if engine is None:
        raise Failure(
            "LanguageMissing", "JavaScript needs the distribution `quickjs-ng`. Install it: pip install quickjs-ng"
        )
    context = engine.Context()
    context.set_memory_limit(memory)
    context.set_max_stack_size(_STACK)
    context.add_callable("__print", sys.stdout.write)
    context.add_callable("__zoneOffset", _zone_offset)
    try:
        driver = context.eval(_PRELUDE)
        context.eval("delete globalThis.__print; delete globalThis.__zoneOffset")
        context.eval(code)
        main = context.eval("typeof main === 'function' ? main : null")
        if main is None:
            raise Failure("MainMissing", "The code defines no function named main. Add: function main(inputs) {...}")
        driver("call", main, inputs.decode())
        while context.execute_pending_job():
            pass
        answer = driver("answer")
    except engine.JSException as exc:
        if str(exc).strip() == "null" and context.memory()["malloc_size"] > memory * 0.9:
            raise _out_of_memory() from None  # the engine has no room left for an error
        raise _failure(str(exc), code) from None
    if answer is None:
        raise Failure("NeverSettled", "main returned a promise that never settles.")
    return str(answer).encode()


def _out_of_memory() -> Failure:
    return Failure("MemoryError", "The code used more memory than it may.")


def _zone_offset(name: str, time: float) -> float | None:
    """How far a zone is ahead of UTC at a time, in milliseconds as JavaScript counts; None for an unknown zone."""
    import zoneinfo  # both only now: few programs ask
    from datetime import UTC, datetime

    try:
        offset = datetime.fromtimestamp(time / 1000, UTC).astimezone(zoneinfo.ZoneInfo(name)).utcoffset()
    except (OSError, ValueError, OverflowError, zoneinfo.ZoneInfoNotFoundError):
        return None
    return offset.total_seconds() * 1000 if offset is not None else None


def _failure(message: str, code: str) -> Failure:
    """Translate the engine's error text: our frames are cut, the source is named, the failing line is quoted."""
    if message.startswith("NotJSON: "):
        problem = message.partition(": ")[2].partition("\n")[0]
        return Failure("NotJSON", f"main returned a value that is not JSON: {problem}.")
    if "InternalError: out of memory" in message or "Failed obtaining QuickJS error string" in message:
        return _out_of_memory()
    if message.strip() == "null":
        return Failure("Error", "The code threw null, as the engine does for it when memory runs out.")
    lines = [line for line in message.splitlines() if line != "undefined"] or ["undefined"]  # as it may be thrown
    for position, line in enumerate(lines):
        if line.startswith(_FIRST_FRAME):
            del lines[position:]
            break
    lines = [line for line in lines if not line.startswith(_OUR_FRAME)]
    place = re.search(r"<input>:(\d+)", "\n".join(lines))
    if place and 0 < (number := int(place[1])) <= len(source := code.splitlines()):
        lines.insert(1, f"  line {number}: {source[number - 1].strip()}")
    kind = re.match(r"(\w*Error)\b", message)
    if len(lines) > 60:
        lines[30:-20] = [f"    [{len(lines) - 50} frames left out]"]
    if _NOT_HERE.match(message):
        lines.append(_LANGUAGE_ALONE)
    return Failure(kind[1] if kind else "Error", "\n".join(lines).replace("<input>", "main.js"))
