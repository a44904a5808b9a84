"""JavaScript in the sandbox: inputs and results, the console, errors with lines, and what it cannot reach."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dify_host.sandbox import SandboxPool
from dify_kernel.errors import CodeExecutionError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def failure(pool: SandboxPool, code: str) -> tuple[str, str]:
    """Return type and text of the error which the code ends with."""
    result = await pool.run("javascript", code, b"{}", timeout=10, memory_mb=64)
    assert result.result is None
    assert result.error is not None
    assert result.error_type is not None
    return result.error_type, result.error


@pytest.mark.parametrize(
    "code",
    [
        "function main(inputs) { return { r: inputs.x * 2 } }",
        "const main = ({ x }) => ({ r: x * 2 })",
        "async function main({ x }) { const y = await Promise.resolve(x); return { r: y * 2 } }",
        "var main = function (i) { return { r: [i?.x ?? 0].flatMap((v) => [v, v]).reduce((a, b) => a + b) } }",
    ],
)
async def test_forms_of_main(pool: SandboxPool, code: str) -> None:
    assert await pool.execute("javascript", code, {"x": 21}) == {"r": 42}


@pytest.mark.parametrize(
    "value", [None, True, 1.5, -3, "é😀\u2028", [], {"a": [{"b": ""}]}, ["\x00"], {"__proto__": 1}]
)
async def test_json_goes_through_unchanged(pool: SandboxPool, value: Any) -> None:
    assert await pool.execute("javascript", "function main({ value }) { return value }", {"value": value}) == value


async def test_the_console_is_captured(pool: SandboxPool) -> None:
    code = "function main() { console.log('é😀', { a: 1 }, [2], undefined, null); console.error('x'); return 1 }"
    result = await pool.run("javascript", code, b"{}", timeout=10)
    assert (result.result, result.stdout) == (b"1", 'é😀 {"a":1} [2] undefined null\nx\n')


async def test_the_console_is_capped(pool: SandboxPool) -> None:
    code = "function main() { for (let i = 0; i < 5000; i++) console.log('x'.repeat(99)); return 1 }"
    result = await pool.run("javascript", code, b"{}", timeout=10)
    assert result.result == b"1"
    assert result.stdout_truncated
    assert len(result.stdout) == pool.settings.output_limit


@pytest.mark.parametrize("use", ["require('axios')", "fetch('http://a.test')", "new URL('a:b')", "Buffer.from('a')"])
async def test_what_only_other_hosts_of_javascript_have_says_so(pool: SandboxPool, use: str) -> None:
    kind, text = await failure(pool, f"function main() {{\n  return {use}\n}}\n")
    assert kind == "ReferenceError"
    assert f"line 2: return {use}" in text
    assert text.splitlines()[-1].startswith("The sandbox has the JavaScript language and `console`")


async def test_an_unknown_name_of_the_users_own_is_told_as_it_is(pool: SandboxPool) -> None:
    _, text = await failure(pool, "function main() { return total }")
    assert "The sandbox has" not in text


@pytest.mark.parametrize(
    ("zone", "hour"), [("Asia/Shanghai", "08"), ("Asia/Tokyo", "09"), ("UTC", "12"), ("America/New_York", "08")]
)
async def test_a_date_is_shown_in_the_zone_that_is_asked_for(pool: SandboxPool, zone: str, hour: str) -> None:
    shown = f"new Date('1970-06-01T12:00Z').toLocaleTimeString('en-US', {{ timeZone: '{zone}' }})"
    code = f"function main() {{ return {shown} }}"
    assert (await pool.execute("javascript", code, {})).partition(":")[0] == hour


async def test_the_time_elsewhere_by_the_way_that_everybody_writes_it(pool: SandboxPool) -> None:
    code = """
    function main({ at }) {
      const there = new Date(new Date(at).toLocaleString("en-US", { timeZone: "Asia/Shanghai" }));
      there.setDate(there.getDate() - 1);
      return [there.getFullYear(), there.getMonth() + 1, there.getDate(), there.getHours()];
    }"""
    assert await pool.execute("javascript", code, {"at": "2026-03-01T20:00:00Z"}) == [2026, 3, 1, 4]


@pytest.mark.parametrize(
    "written", ["2026/3/1 10:00:00", "Mar 1, 2026 10:00", "3/1/2026, 10:00:00 AM", "2026-03-01T10:00Z"]
)
async def test_dates_as_people_write_them_are_read(pool: SandboxPool, written: str) -> None:
    code = "function main({ written }) { return new Date(written).toISOString() }"
    assert await pool.execute("javascript", code, {"written": written}) == "2026-03-01T10:00:00.000Z"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1, 2, 3].at(-1)", 3),
        ("[3, 1, 2].toSorted().join('')", "123"),
        ("[1, 2, 3].findLast((n) => n < 3)", 2),
        ("Object.groupBy([1, 2, 3], (n) => (n % 2 ? 'odd' : 'even')).odd.length", 2),
        ("Object.hasOwn({ a: 1 }, 'a')", True),
        ("'a-b-c'.replaceAll('-', '')", "abc"),
        ("atob(btoa('tea'))", "tea"),
    ],
)
async def test_the_language_of_today(pool: SandboxPool, expression: str, value: Any) -> None:
    assert await pool.execute("javascript", f"function main() {{ return {expression} }}", {}) == value


async def test_an_unknown_zone_is_an_error(pool: SandboxPool) -> None:
    code = "function main() { return new Date().toLocaleString('en-US', { timeZone: '../../etc/passwd' }) }"
    kind, text = await failure(pool, code)
    assert kind == "RangeError"
    said, quoted, frame = text.splitlines()
    assert (said, quoted) == ("RangeError: Invalid time zone specified: ../../etc/passwd", f"  line 1: {code}")
    assert frame.startswith("    at main (main.js:1:")


@pytest.mark.parametrize("size", [10, 100_000])
async def test_texts_that_were_put_together_are_whole(pool: SandboxPool, size: int) -> None:
    code = "function main({ part, size }) { let s = ''; while (s.length < size) s += part; console.log(s); return s }"
    result = await pool.run("javascript", code, json.dumps({"part": "茶ab", "size": size}).encode(), timeout=10)
    assert result.error is None
    assert json.loads(result.result or b"") == "茶ab" * -(-size // 3)
    assert result.stdout.startswith("茶ab茶ab")


async def test_an_error_shows_the_users_lines_only(pool: SandboxPool) -> None:
    code = "function helper(x) {\n  return x.a.b\n}\nfunction main() {\n  return helper({})\n}\n"
    kind, text = await failure(pool, code)
    assert kind == "TypeError"
    assert text.splitlines() == [
        "TypeError: cannot read property 'b' of undefined",
        "  line 2: return x.a.b",
        "    at helper (main.js:2:10)",
        "    at main (main.js:5:10)",
    ]


async def test_syntax_error_shows_the_line(pool: SandboxPool) -> None:
    kind, text = await failure(pool, "function main() {\n  return 1\n}\nlet x = = 3\n")
    assert kind == "SyntaxError"
    assert "line 4: let x = = 3" in text


async def test_a_rejected_promise_is_an_error(pool: SandboxPool) -> None:
    kind, text = await failure(pool, "async function main() { throw new RangeError('too far') }")
    assert (kind, text.splitlines()[0]) == ("RangeError", "RangeError: too far")
    assert (await failure(pool, "function main() { return new Promise(() => {}) }"))[0] == "NeverSettled"


async def test_main_is_missing(pool: SandboxPool) -> None:
    assert (await failure(pool, "const x = 1"))[0] == "MainMissing"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("NaN", "result is NaN"),
        ("[1, 1 / 0]", "result[1] is Infinity"),
        ("({ a: { b: () => 1 } })", "result.a.b is a function"),
        ("undefined", "result is undefined"),
        ("10n", "result is a bigint"),
        ("new Map()", "result is a Map"),
        ("'\\ud800'", "lone surrogate"),
        ("(() => { const a = []; a.push(a); return a })()", "contains itself"),
        ("Promise.resolve(NaN)", "result is NaN"),
    ],
)
async def test_a_result_that_is_not_json(pool: SandboxPool, expression: str, said: str) -> None:
    kind, text = await failure(pool, f"function main() {{ return {expression} }}")
    assert kind == "NotJSON"
    assert said in text


async def test_replaced_built_ins_harm_only_the_run(pool: SandboxPool) -> None:
    code = "JSON.stringify = () => 'x'; JSON.parse = () => 0; function main(i) { return i }"
    assert await pool.execute("javascript", code, {"a": 1}) == {"a": 1}


async def test_dates_become_text(pool: SandboxPool) -> None:
    assert await pool.execute("javascript", "const main = () => ({ d: new Date(0) })", {}) == {
        "d": "1970-01-01T00:00:00.000Z"
    }


async def test_endless_loop(pool: SandboxPool) -> None:
    code = "function main() { for (;;) { try { for (;;); } catch (e) {} } }"
    result = await pool.run("javascript", code, b"{}", timeout=0.4)
    assert result.error_type == "Timeout"
    assert 0.4 <= result.elapsed < 5


@pytest.mark.parametrize(
    "body",
    [
        "const a = []; for (;;) a.push(new Uint8Array(10e6).fill(1))",
        "let s = 'x'; for (;;) s += s + '!'",
        "const a = []; for (;;) a.push({ a: [1, 2, 3] })",
    ],
)
async def test_memory(pool: SandboxPool, body: str) -> None:
    result = await pool.run("javascript", f"function main() {{ {body} }}", b"{}", timeout=20, memory_mb=48)
    assert result.result is None
    assert result.error_type in ("MemoryError", "InternalError", "Error", "RangeError")
    assert result.peak_memory < 96 << 20


async def test_deep_recursion(pool: SandboxPool) -> None:
    kind, text = await failure(pool, "function main() { return main() }")
    assert kind == "RangeError"
    assert "call stack size" in text
    assert len(text.splitlines()) < 80


async def test_nothing_of_a_host_is_there(pool: SandboxPool) -> None:
    names = ["require", "process", "fetch", "XMLHttpRequest", "Deno", "std", "os", "module", "WebAssembly", "__print"]
    code = f"function main() {{ return {json.dumps(names)}.filter((n) => typeof globalThis[n] !== 'undefined') }}"
    assert await pool.execute("javascript", code, {}) == []
    for code in (
        "import * as std from 'std'; function main() { return 1 }",
        "async function main() { return Object.keys(await import('os')) }",
        "async function main() { return Object.keys(await import('/etc/passwd')) }",
    ):
        with pytest.raises(CodeExecutionError):
            await pool.execute("javascript", code, {})
