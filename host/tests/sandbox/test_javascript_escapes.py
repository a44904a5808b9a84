"""Known ways out of a JavaScript sandbox, and bombs: each is contained, and the next run finds its world as new."""

from __future__ import annotations

import pytest
from dify_host.sandbox import SandboxPool
from dify_kernel.errors import CodeExecutionError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("unharmed")]

POLLUTED = {
    "Object.prototype": "Object.prototype.mark = 1",
    "Array.prototype": "Array.prototype.mark = 1; Array.prototype.map = () => 0; Array.prototype.forEach = () => 0",
    "__proto__ of an input": 'JSON.parse(\'{"__proto__": {"mark": 1}}\').__proto__.mark; ({}).__proto__.mark = 1',
    "constructor": "({}).constructor.prototype.mark = 1; Function.prototype.call = () => 0",
    "global": "globalThis.mark = 1; globalThis.Object = globalThis.JSON = null",
    "console": "console.log = console.error = null; globalThis.console = 1",
    "toJSON": "Object.prototype.toJSON = () => 'forged'; String.prototype.toJSON = () => 'forged'",
    "getter": "Object.defineProperty(Object.prototype, 'mark', { enumerable: true, get() { throw 1 } })",
    "promise": "Promise.prototype.then = function () { return this }; globalThis.Promise = Array",
    "text": "String.prototype.replace = () => 'forged'; RegExp.prototype.test = () => false",
    "symbols": "Object.prototype[Symbol.toPrimitive] = () => { throw 1 }; Array.prototype[Symbol.iterator] = null",
    "frozen": "[Object, Array, Function, String].forEach((c) => Object.freeze(c.prototype))",
}


@pytest.mark.parametrize("statement", POLLUTED.values(), ids=POLLUTED)
@pytest.mark.parametrize("place", ["top", "main"])
async def test_pollution_is_gone_with_its_run(pool: SandboxPool, statement: str, place: str) -> None:
    """The run that pollutes may come to harm; what the next one sees is in the fixture."""
    code = (
        f"{statement}; function main() {{ return 1 }}"
        if place == "top"
        else f"function main() {{ {statement}; return 1 }}"
    )
    result = await pool.run("javascript", code, b"{}", timeout=10, memory_mb=64)
    assert (result.result is None) == (result.error is not None)


WALKS = {
    "Function": "Function('return this')()",
    "constructor": "(() => 0).constructor('return this')()",
    "async constructor": "(async () => 0).constructor('return globalThis')",
    "generator": "(function* () {}).constructor('yield this')().next().value",
    "eval": "(0, eval)('this')",
    "console": "console.log.constructor('return this')()",
    "this": "(function () { return this })()",
    "error": "new Error().constructor.constructor('return this')()",
}


@pytest.mark.parametrize("expression", WALKS.values(), ids=WALKS)
async def test_the_global_object_has_nothing_of_a_host(pool: SandboxPool, expression: str) -> None:
    code = f"""
function main() {{
  const found = {expression};
  const names = ["process", "require", "fetch", "std", "os", "Deno", "__print", "scriptArgs", "print", "Worker"];
  return names.filter((name) => found?.[name] !== undefined);
}}
"""
    assert await pool.execute("javascript", code, {}) == []


@pytest.mark.parametrize(
    "code",
    [
        "import os from 'os'; function main() { return 1 }",
        "async function main() { return (await import('std')).loadFile('/etc/passwd') }",
        "async function main() { return await import('/tmp/x.js') }",
        "function main() { return require('fs').readFileSync('/etc/passwd') }",
        "function main() { return process.binding('spawn_sync') }",
        "function main() { return new Worker('x') }",
        "function main() { return Error.prepareStackTrace(1, 2)[0].getThis() }",
        "function main() { return load('/etc/passwd') }",
    ],
)
async def test_doors_of_other_engines(pool: SandboxPool, code: str) -> None:
    with pytest.raises(CodeExecutionError):
        await pool.execute("javascript", code, {})


THROWN = {
    "null": "null",
    "undefined": "undefined",
    "number": "1",
    "symbol": "Symbol('x')",
    "text that cannot be made": "{ toString() { throw 1 } }",
    "no prototype": "Object.create(null)",
    "proxy": "new Proxy({}, { get() { throw 1 } })",
    "error with odd parts": "Object.assign(new Error('x'), { name: { toString() { throw 1 } }, stack: 5 })",
    "our own name": "Object.assign(new Error('x'), { name: 'NotJSON' })",
    "lone surrogate": "new Error('\\ud800')",
    "long": "new Error('x'.repeat(5e6))",
    "many lines": "new Error('x\\n'.repeat(1e6))",
    "zero": "new Error('a\\0b')",
    "frame of ours": "new Error('\\n    at sandbox_call (<input>:1)')",
}


@pytest.mark.parametrize("value", THROWN.values(), ids=THROWN)
@pytest.mark.parametrize("kind", ["thrown", "rejected"])
async def test_whatever_is_thrown_is_an_error_of_the_run(pool: SandboxPool, value: str, kind: str) -> None:
    body = f"throw {value}" if kind == "thrown" else f"return Promise.reject({value})"
    result = await pool.run("javascript", f"function main() {{ {body} }}", b"{}", timeout=10, memory_mb=64)
    assert result.result is None
    assert 0 < len(result.error_type or "") <= 200
    assert 0 < len(result.error or "") < 1 << 17


RETURNED = {
    "proxy": "new Proxy({}, { ownKeys() { throw new Error('x') } })",
    "getter": "({ get a() { throw new Error('x') } })",
    "toJSON": "({ toJSON() { throw new Error('x') } })",
    "endless toJSON": "(() => { const a = { toJSON: () => a }; return a })()",
    "deep": "(() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a })()",
    "circle": "(() => { const a = {}; a.a = a; return a })()",
    "thenable that throws": "({ then() { throw new Error('x') }, a: () => 0 })",
    "function": "() => 0",
    "symbol": "Symbol.iterator",
}


@pytest.mark.parametrize("value", RETURNED.values(), ids=RETURNED)
async def test_results_that_fight_back(pool: SandboxPool, value: str) -> None:
    result = await pool.run("javascript", f"function main() {{ return {value} }}", b"{}", timeout=10, memory_mb=64)
    assert result.result is None
    assert result.error_type in ("Error", "NotJSON", "InternalError", "MemoryError", "TypeError")


TIME = {
    "loop": "for (;;) {}",
    "loop in finally": "try { throw 1 } finally { for (;;) {} }",
    "regular expression": "/^(a+)+$/.test('a'.repeat(64) + 'b')",
    "microtasks": "const again = () => { Promise.resolve().then(again) }; again(); return new Promise(() => {})",
    "async loop": "return (async () => { for (;;) await 0 })()",
    "generator": "for (const _ of (function* () { for (;;) yield 1 })()) {}",
    "proxy as result": "return new Proxy({}, { ownKeys() { for (;;) {} } })",
    "getter of the result": "return { get a() { for (;;) {} } }",
    "sorting": "const a = [3, 1, 2]; for (;;) a.sort(() => 1)",
    "text of an error": "throw { toString() { for (;;) {} } }",
}


@pytest.mark.parametrize("body", TIME.values(), ids=TIME)
async def test_time(pool: SandboxPool, body: str) -> None:
    result = await pool.run("javascript", f"function main() {{ {body} }}", b"{}", timeout=0.4, memory_mb=64)
    assert result.error_type == "Timeout"
    assert 0.4 <= result.elapsed < 5


MEMORY = {
    "buffer": "new ArrayBuffer(4e9)",
    "shared buffer": "new SharedArrayBuffer(4e9)",
    "buffers": "const a = []; for (;;) a.push(new Float64Array(1e6).fill(1))",
    "text": "'x'.repeat(2 ** 30 - 10) + 'y'.repeat(2 ** 30)",
    "array": "new Array(2 ** 32 - 1).fill(0)",
    "arguments": "Math.max(...new Array(1e8))",
    "big number": "let a = 3n; for (;;) a *= a",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, [i])",
    "closures": "let f = () => 0; for (;;) { const g = f; f = () => g }",
    "stack": "const f = () => f() + 1; return f()",
    "nested code": "eval('['.repeat(1e6))",
    "nested data": "JSON.parse('['.repeat(1e6))",
    "nested expression": "new RegExp('('.repeat(1e5))",
    "caught": "try { const a = []; for (;;) a.push(new Uint8Array(1e6)) } catch (e) {} return main()",
}


@pytest.mark.parametrize("body", MEMORY.values(), ids=MEMORY)
async def test_memory(pool: SandboxPool, body: str) -> None:
    result = await pool.run("javascript", f"function main() {{ {body} }}", b"{}", timeout=20, memory_mb=24)
    assert result.result is None
    assert result.error_type in ("MemoryError", "InternalError", "RangeError", "SyntaxError", "Error", "NoResult")
    assert result.peak_memory < 96 << 20


async def test_much_output(pool: SandboxPool) -> None:
    code = "function main() { for (let i = 0; i < 50; i++) console.log('x'.repeat(1e6)); return 1 }"
    result = await pool.run("javascript", code, b"{}", timeout=20, memory_mb=64)
    assert result.result == b"1"
    assert len(result.stdout) == pool.settings.output_limit
    large = await pool.run("javascript", "const main = () => 'x'.repeat(9e6)", b"{}", timeout=20)
    assert large.error_type == "ResultTooLarge"


async def test_an_answer_on_the_console_is_output(pool: SandboxPool) -> None:
    result = await pool.run("javascript", "function main() { console.log('R5'); return 1 }", b"{}", timeout=10)
    assert (result.result, result.stdout) == (b"1", "R5\n")
