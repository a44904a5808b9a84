"""Code that a sandbox service runs: a loopback one by its documented protocol, with real interpreters behind it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from dify_host.sandbox import SandboxPool, SandboxRefused, SandboxUnavailable
from dify_host.sandbox.chosen import sandbox_of
from dify_host.sandbox.remote import RemoteSandbox, RemoteSettings
from dify_host.settings import HostSettings
from dify_kernel.errors import CodeExecutionError, SettingsError
from dify_kernel.settings import Secret
from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback
from hypothesis import HealthCheck, given, settings

from .test_python_runs import json_values

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-of-the-service"
PYTHON = [sys.executable, "-I", "-c"]


def service(asked: Asked) -> Answer:
    """What the service does with one request."""
    if asked.headers.get("x-api-key") != KEY:
        return 401, {}, b""
    body = asked.json()
    assert (asked.method, asked.path) == ("POST", "/v1/sandbox/run")
    assert (body["preload"], body["enable_network"]) == ("", True)
    commands = {"python3": PYTHON, "nodejs": [shutil.which("node") or "", "-e"]}
    done = subprocess.run([*commands[body["language"]], body["code"]], capture_output=True, text=True, check=False)
    return told(data={"stdout": done.stdout, "error": done.stderr})


def told(code: int = 0, message: str = "success", data: Any = None) -> Answer:
    """An answer of the service."""
    return json_answer(200, {"code": code, "message": message, "data": data})


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback(service) as running:
        yield running


def client(url: str, key: str = KEY) -> RemoteSandbox:
    return RemoteSandbox(RemoteSettings(endpoint=url, api_key=Secret(key)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remote(server: Loopback) -> AsyncIterator[RemoteSandbox]:
    sandbox = client(server.url)
    yield sandbox
    await sandbox.close()
    await sandbox.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
async def test_any_json_goes_there_and_comes_back(remote: RemoteSandbox, value: object) -> None:
    code = "from __future__ import annotations\nprint('{before}')\ndef main(value):\n    return {'is': value}"
    assert await remote.execute("python3", code, {"value": value}) == {"is": value}


async def test_javascript_is_called_with_one_object_and_may_be_a_promise(remote: RemoteSandbox) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    code = "async function main({text, n}) { console.log('{}'); return {said: `${text} ✓`, n: n + 1}; }"
    assert await remote.execute("javascript", code, {"text": "ä", "n": 1}) == {"said": "ä ✓", "n": 2}
    with pytest.raises(CodeExecutionError, match="nothing is here") as caught:
        await remote.execute("javascript", "function main() { throw new RangeError('nothing is here'); }", {})
    assert caught.value.where["error_type"] == "RangeError"
    report = await remote.probe()
    assert (report.level, report.languages) == ("remote", ("python3", "javascript"))


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("def main():\n    return 1 / 0", "ZeroDivisionError", "line 2, in main"),
        ("def main(:", "SyntaxError", "def main(:"),
        ("def other():\n    return 1", "NameError", "main"),
        ("def main():\n    return float('nan')", "ValueError", "JSON"),
        ("def main():\n    return object()", "TypeError", "not JSON serializable"),
        ("import os\ndef main():\n    os._exit(0)", None, "before main returned"),
    ],
)
async def test_an_error_of_the_code_is_told(remote: RemoteSandbox, code: str, kind: str | None, text: str) -> None:
    with pytest.raises(CodeExecutionError) as caught:
        await remote.execute("python3", code, {})
    assert text in str(caught.value)
    assert caught.value.where.get("error_type") == kind
    assert not caught.value.retryable


async def test_what_code_prints_is_not_taken_for_its_result(remote: RemoteSandbox) -> None:
    code = "def main():\n    print('<<RESULT>>{\"a\": 1}<<RESULT>>')\n    return {'b': 2}"
    assert await remote.execute("python3", code, {}) == {"b": 2}
    with pytest.raises(CodeExecutionError, match="cannot be run"):
        await remote.execute("ruby", "", {})
    with pytest.raises(CodeExecutionError, match="not JSON"):
        await remote.execute("python3", code, {"x": object()})


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (told(-400, "unsupported language"), CodeExecutionError, "unsupported language"),
        (json_answer(503, {"code": -503, "message": "Too many requests"}), SandboxUnavailable, "503"),
        ((404, {}, b"<html>"), SandboxRefused, "no code sandbox"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), SandboxRefused, "no code sandbox"),
    ],
)
async def test_a_service_that_does_not_run_it_says_why(answer: Answer, error: type[Exception], text: str) -> None:
    with loopback(lambda _asked: answer) as running:
        sandbox = client(running.url)
        with pytest.raises(error, match=text) as caught:
            await sandbox.execute("python3", "def main(): return 1", {})
        assert type(caught.value) is error
        assert (await sandbox.probe()).level == "none"
        await sandbox.close()


async def test_a_wrong_key_and_an_absent_service_are_told_apart(server: Loopback) -> None:
    wrong = client(server.url, "a-wrong-key")
    with pytest.raises(SandboxRefused, match="refuses the key") as refused:
        await wrong.execute("python3", "def main(): return 1", {})
    assert "a-wrong-key" not in f"{refused.value!r} {refused.value.hint}"
    await wrong.close()
    with loopback(service) as gone:
        away = client(gone.url)
    with pytest.raises(SandboxUnavailable, match="does not answer") as caught:
        await away.execute("python3", "def main(): return 1", {})
    assert caught.value.retryable
    await away.close()


async def test_the_settings_choose(server: Loopback) -> None:
    assert isinstance(sandbox_of(HostSettings()), SandboxPool)
    given = HostSettings(code_execution_endpoint=f"{server.url}/", code_execution_api_key=Secret(KEY))
    chosen = sandbox_of(given)
    assert await chosen.execute("python3", "def main(a): return a", {"a": [1]}) == [1]
    await chosen.close()
    for text in ("sandbox:8194", "ftp://sandbox", "http://"):
        with pytest.raises(SettingsError, match="CODE_EXECUTION_ENDPOINT"):
            sandbox_of(HostSettings(code_execution_endpoint=text))
