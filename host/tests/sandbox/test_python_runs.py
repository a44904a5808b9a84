"""What Python code gets and gives: inputs, results, prints, and errors that a user can act on."""

from __future__ import annotations

import json

import pytest
from dify_host.sandbox import SandboxPool, SandboxSettings
from dify_kernel.errors import CodeExecutionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = "def main(value):\n    return value\n"


async def failure(pool: SandboxPool, code: str, **inputs: object) -> tuple[str, str]:
    """Return type and text of the error which the code ends with."""
    result = await pool.run("python3", code, json.dumps(inputs).encode(), timeout=10)
    assert result.result is None
    assert result.error is not None
    assert result.error_type is not None
    return result.error_type, result.error


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
async def test_json_goes_through_unchanged(pool: SandboxPool, value: object) -> None:
    assert await pool.execute("python3", ECHO, {"value": value}) == value


async def test_inputs_are_keyword_arguments(pool: SandboxPool) -> None:
    code = "def main(a: int, b: str = 'x', **rest) -> dict:\n    return {'result': [a, b, rest]}\n"
    assert await pool.execute("python3", code, {"a": 1, "c": "ü😀"}) == {"result": [1, "x", {"c": "ü😀"}]}


async def test_the_standard_library_is_there(pool: SandboxPool) -> None:
    code = """
import base64, dataclasses, datetime, decimal, hashlib, random, re, statistics, string, typing, uuid, zoneinfo

@dataclasses.dataclass
class Point:
    x: int

def main():
    return {
        "hash": hashlib.sha256(b"a").hexdigest()[:8],
        "text": base64.b64encode(re.sub("a", "b", "aa").encode()).decode(),
        "point": dataclasses.asdict(Point(3)),
        "mean": statistics.mean([1, 2, 3]),
        "random": random.random(),
        "uuid": uuid.uuid4().hex,
    }
"""
    first, second = [await pool.execute("python3", code, {}) for _ in range(2)]
    assert first["hash"] == "ca978112"
    assert first["text"] == "YmI="
    assert first["point"] == {"x": 3}
    assert first["random"] != second["random"]
    assert first["uuid"] != second["uuid"]


async def test_prints_are_captured_apart_from_the_result(pool: SandboxPool) -> None:
    code = (
        "import sys\nprint('top')\ndef main():\n    print('é😀', 1)\n    print('err', file=sys.stderr)\n    return 2\n"
    )
    result = await pool.run("python3", code, b"{}", timeout=10)
    assert (result.result, result.stdout, result.stdout_truncated) == (b"2", "top\né😀 1\nerr\n", False)


async def test_prints_are_kept_when_the_code_fails(pool: SandboxPool) -> None:
    result = await pool.run("python3", "def main():\n    print('seen')\n    return 1 / 0\n", b"{}", timeout=10)
    assert result.stdout == "seen\n"
    assert result.error_type == "ZeroDivisionError"


@pytest.mark.usefixtures("pool")
async def test_output_is_capped_and_the_run_goes_on() -> None:
    pool = SandboxPool(SandboxSettings(output_limit=1000))
    code = "def main():\n    for _ in range(20_000):\n        print('x' * 99)\n    return 'done'\n"
    result = await pool.run("python3", code, b"{}", timeout=10)
    await pool.close()
    assert result.result == b'"done"'
    assert result.stdout_truncated
    assert result.stdout == ("x" * 99 + "\n") * 10


async def test_output_around_print_ends_the_run(pool: SandboxPool) -> None:
    code = "import os\ndef main():\n    while True:\n        os.write(1, bytes(10_000))\n"
    result = await pool.run("python3", code, b"{}", timeout=20)
    assert result.error_type == "Killed"
    assert len(result.stdout) <= pool.settings.output_limit
    assert result.elapsed < 10


@pytest.mark.usefixtures("pool")
async def test_result_over_the_limit() -> None:
    pool = SandboxPool(SandboxSettings(result_limit=1000))
    assert await pool.execute("python3", "def main():\n    return 'x' * 998\n", {}) == "x" * 998
    kind, text = await failure(pool, "def main():\n    return 'x' * 999\n")
    forged = await pool.run("python3", "import os\ndef main():\n    os.write(3, bytes(1 << 20))\n", b"{}", timeout=10)
    await pool.close()
    assert (kind, "1001 bytes" in text) == ("ResultTooLarge", True)
    assert forged.result is None


async def test_large_inputs_and_results(pool: SandboxPool) -> None:
    value = ["ä" * 1000] * 1000
    assert await pool.execute("python3", ECHO, {"value": value}) == value


async def test_an_error_shows_the_users_lines_only(pool: SandboxPool) -> None:
    code = "def helper(x):\n    return 1 / x\n\ndef main(x):\n    return helper(x)\n"
    with pytest.raises(CodeExecutionError) as caught:
        await pool.execute("python3", code, {"x": 0})
    lines = caught.value.message.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip() for line in lines if "File" in line] == [
        'File "main.py", line 5, in main',
        'File "main.py", line 2, in helper',
    ]
    assert "return 1 / x" in caught.value.message
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert caught.value.where["error_type"] == "ZeroDivisionError"
    assert not caught.value.retryable


async def test_syntax_error_shows_the_line(pool: SandboxPool) -> None:
    kind, text = await failure(pool, "def main():\n    return (1,\n\nx = = 2\n")
    assert kind == "SyntaxError"
    assert 'File "main.py", line' in text
    kind, text = await failure(pool, "def main():\n    pass\nvalue = = 2\n")
    assert 'File "main.py", line 3' in text
    assert "value = = 2" in text


@pytest.mark.parametrize("line", ["import requests", "from pandas.io import json", "__import__('jieba')"])
async def test_a_package_that_is_not_there_says_what_there_is(pool: SandboxPool, line: str) -> None:
    kind, text = await failure(pool, f"{line}\ndef main():\n    return {{}}\n")
    assert kind == "ModuleNotFoundError"
    assert line in text
    assert "No module named" in text
    assert text.endswith("install the package for SANDBOX_PACKAGES.")


async def test_main_is_missing(pool: SandboxPool) -> None:
    assert (await failure(pool, "x = 1"))[0] == "MainMissing"
    assert (await failure(pool, "main = 3"))[0] == "MainMissing"


async def test_missing_argument(pool: SandboxPool) -> None:
    kind, text = await failure(pool, "def main(a):\n    return a\n")
    assert (kind, text) == ("TypeError", "TypeError: main() missing 1 required positional argument: 'a'")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("float('nan')", "result is nan"),
        ("[1, float('inf')]", "result[1] is inf"),
        ("{'a': {'b': {1, 2}}}", "result.a.b is of type set"),
        ("{'a': b'x'}", "result.a is of type bytes"),
        ("{(1, 2): 3}", "key of type tuple"),
        ("print", "result is of type builtin_function_or_method"),
        ("'\\ud800'", "lone surrogate"),
        ("(lambda x: (x.append(x), x)[1])([])", "contains itself"),
    ],
)
async def test_a_result_that_is_not_json(pool: SandboxPool, expression: str, said: str) -> None:
    kind, text = await failure(pool, f"def main():\n    return {expression}\n")
    assert kind == "NotJSON"
    assert said in text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os; os._exit(0)", "NoResult"),
        ("import ctypes; ctypes.string_at(0)", "NoResult"),
        ("main()", "RecursionError"),
        ("class Odd(Exception):\n        def __str__(self): raise ValueError\n    raise Odd", "Odd"),
        ("input()", "EOFError"),
    ],
)
async def test_ways_to_end_badly(pool: SandboxPool, body: str, kind: str) -> None:
    assert (await failure(pool, f"def main():\n    {body}\n"))[0] == kind


async def test_closing_the_streams_harms_only_the_run(pool: SandboxPool) -> None:
    code = "import sys\ndef main():\n    sys.stdout.close()\n    return 1\n"
    assert (await pool.run("python3", code, b"{}", timeout=10)).result == b"1"


async def test_a_forged_result_is_checked(pool: SandboxPool) -> None:
    code = "import os\ndef main():\n    os.write(3, b'Rnot json')\n    os._exit(0)\n"
    with pytest.raises(CodeExecutionError, match="not JSON"):
        await pool.execute("python3", code, {})


async def test_runs_share_no_state(pool: SandboxPool) -> None:
    code = "import json\ndef main():\n    old = getattr(json, 'mark', 0)\n    json.mark = 1\n    return old\n"
    assert [await pool.execute("python3", code, {}) for _ in range(3)] == [0, 0, 0]
