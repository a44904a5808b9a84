"""A code sandbox that is another machine's: programs go to its HTTP API, and the text between two marks comes back.

The API is that of the reference's sandbox service: `POST /v1/sandbox/run` with `X-Api-Key` takes language and code, and
answers `{code, message, data: {stdout, error}}`. How well the code is jailed is that service's affair.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from dify_kernel.contracts.http import HttpConnectionError, HttpRequest, HttpResponse, HttpTooLarge, Timeout
from dify_kernel.errors import CodeExecutionError, SettingsError
from dify_kernel.settings import Secret

from dify_host.net.client import GuardedClient, OutboundSettings

from .results import Language, SandboxRefused, SandboxReport, SandboxUnavailable

__all__ = ["RemoteSandbox", "RemoteSettings"]

_MOST_BYTES: Final = 9 * 1024 * 1024
_LANGUAGES: Final[dict[str, str]] = {"python3": "python3", "javascript": "nodejs"}
#: How the last line of a traceback, or the first of a stack, names the error.
_KIND: Final = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Exit|Interrupt|Warning))\b", re.MULTILINE)
# User code stands first: a `from __future__` may stand nowhere else, and its line numbers stay right.
_PYTHON: Final = """{code}

def _run_main():
    import base64, json
    value = main(**json.loads(base64.b64decode("{inputs}")))
    print("{mark}" + json.dumps(value, allow_nan=False) + "{mark}", flush=True)

_run_main()
"""
_JAVASCRIPT: Final = """{code}

Promise.resolve(main(JSON.parse(Buffer.from("{inputs}", "base64").toString("utf-8")))).then((value) => {{
  console.log("{mark}" + JSON.stringify(value) + "{mark}");
}});
"""
_PROGRAMS: Final = {"python3": _PYTHON, "javascript": _JAVASCRIPT}


class RemoteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service is and how long it may take; seconds."""

    endpoint: str
    api_key: Secret
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    write_timeout: float = 10.0
    ssl_verify: bool = True
    max_connections: int = 100
    max_keepalive_connections: int = 20
    keepalive_expiry: float = 5.0


class _Output(msgspec.Struct, frozen=True):
    stdout: str = ""
    error: str = ""


class _Answer(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""
    data: _Output | None = None


class RemoteSandbox:
    """Runs Python and JavaScript of users on a sandbox service; reaches that address and, through it, no other."""

    def __init__(self, settings: RemoteSettings) -> None:
        place = urlsplit(settings.endpoint)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise SettingsError(
                f"CODE_EXECUTION_ENDPOINT is no address: {settings.endpoint!r}.",
                hint="Use http://host:port, or leave it empty to run code in the jail of this machine.",
            )
        self._settings = settings
        self._url = settings.endpoint.rstrip("/")
        self._client = GuardedClient(
            OutboundSettings(
                ssrf_allowed_hosts=[place.hostname],
                ssrf_pool_max_connections=settings.max_connections,
                ssrf_pool_max_keepalive_connections=settings.max_keepalive_connections,
                ssrf_pool_keepalive_expiry=settings.keepalive_expiry,
            )
        )

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._client.aclose()

    async def probe(self) -> SandboxReport:
        """Say whether the service runs code, by running some; does not raise."""
        try:
            for language in _LANGUAGES:
                code = "def main(): return 1" if language == "python3" else "const main = () => 1"
                await self.execute(language, code, {}, timeout=self._settings.read_timeout)
        except CodeExecutionError as exc:
            return SandboxReport(level="none", reasons=(str(exc),))
        languages: tuple[Language, ...] = ("python3", "javascript")
        return SandboxReport(level="remote", languages=languages)

    async def execute(self, language: str, code: str, inputs: Mapping[str, Any], *, timeout: float = 15.0) -> Any:
        """Call the code's `main` with `inputs` and return its value; `timeout` is in seconds of wall clock.

        Raises CodeExecutionError with what the service says of the code, SandboxRefused for a wrong key, or
        SandboxUnavailable (retryable).
        """
        if language not in _LANGUAGES:
            known = ", ".join(_LANGUAGES)
            raise CodeExecutionError(f"The language {language!r} cannot be run.", hint=f"Use one of: {known}.")
        try:
            packed = base64.b64encode(msgspec.json.encode(dict(inputs))).decode()
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            raise CodeExecutionError(f"The inputs of the code are not JSON: {exc}") from exc
        mark = f"<<{secrets.token_hex(8)}>>"  # another one each time, so that no text of a user is taken for it
        program = _PROGRAMS[language].format(code=code, inputs=packed, mark=mark)
        output = self._read(await self._send(_LANGUAGES[language], program, timeout))
        before, found, rest = output.stdout.partition(mark)
        text, ended, _ = rest.partition(mark)
        if not found or not ended:
            raise _failure(output.error or f"The code ended before main returned.\n{before}".rstrip())
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise CodeExecutionError(f"main returned a value that is not JSON: {exc}", error_type="NotJSON") from exc

    async def _send(self, language: str, program: str, timeout: float) -> HttpResponse:
        settings = self._settings
        body = {"language": language, "code": program, "preload": "", "enable_network": True}
        seconds = Timeout(
            connect=settings.connect_timeout,
            read=settings.read_timeout,
            write=settings.write_timeout,
            total=settings.connect_timeout + settings.write_timeout + max(timeout, settings.read_timeout),
        )
        request = HttpRequest(
            method="POST",
            url=f"{self._url}/v1/sandbox/run",
            headers=[("Content-Type", "application/json"), ("X-Api-Key", settings.api_key.reveal())],
            content=msgspec.json.encode(body),
            timeout=seconds,
            verify=settings.ssl_verify,
            max_bytes=_MOST_BYTES,
        )
        try:
            return await self._client.send(request)
        except HttpTooLarge as exc:
            raise CodeExecutionError("The code gives more than is taken.", error_type="ResultTooLarge") from exc
        except HttpConnectionError as exc:
            raise SandboxUnavailable(
                f"The code sandbox at {self._url} does not answer: {exc}",
                hint="Start it, or leave CODE_EXECUTION_ENDPOINT empty to run code in the jail of this machine.",
            ) from exc

    def _read(self, response: HttpResponse) -> _Output:
        """What the program printed; CodeExecutionError when the service did not run it."""
        if response.status in (401, 403):
            raise SandboxRefused(
                f"The code sandbox at {self._url} refuses the key.", hint="Set CODE_EXECUTION_API_KEY to that of it."
            )
        if response.status == 429 or response.status >= 500:
            raise SandboxUnavailable(f"The code sandbox at {self._url} is not able to: status {response.status}.")
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.MsgspecError as exc:
            raise SandboxRefused(
                f"What answers at {self._url} is no code sandbox: status {response.status}.",
                hint="Set CODE_EXECUTION_ENDPOINT to the address of one.",
            ) from exc
        if answer.code or answer.data is None:
            raise _failure(answer.message or f"The code sandbox at {self._url} gives no result.")
        return answer.data


def _failure(text: str) -> CodeExecutionError:
    """What the service says of an error of the code, with the error's name where it stands."""
    kinds: list[str] = _KIND.findall(text)
    return CodeExecutionError(text.strip(), error_type=kinds[-1] if kinds else None)
