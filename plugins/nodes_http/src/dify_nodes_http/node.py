"""The `http-request` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.http import HttpResponse, HttpTooLarge
from dify_kernel.contracts.node import Delta, Limits, Node, NodeContext, NodeResult, NodeStatus
from dify_kernel.errors import DifyError, NodeFailed
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value, ValueType

from dify_nodes_http.config import BODY_TYPES, METHODS, HttpRequestConfig
from dify_nodes_http.record import raw_request
from dify_nodes_http.request import prepare, read_variables, to_port
from dify_nodes_http.response import file_name, is_file, joined_headers, mime_type

__all__ = ["HttpRequestNode"]

#: Answers that say "try again": they fail the node whether or not it has an error strategy.
_TRY_AGAIN = frozenset((429, 500, 502, 503, 504))
_ERROR_TYPE = "HttpRequestNodeError"


class HttpRequestNode(Node):
    """Sends one request through the guarded client and gives its answer as text or files."""

    type = "http-request"
    Config = HttpRequestConfig
    retryable = True
    config: HttpRequestConfig

    def selectors(self) -> list[Selector]:
        """Every variable in the address, headers, parameters, key and body."""
        return read_variables(self.config)

    def problems(self) -> list[str]:
        """An unknown method, kind of body or of authorization."""
        found = []
        if self.config.method.upper() not in METHODS:
            found.append(f"The method {self.config.method!r} is not one of {', '.join(sorted(METHODS))}.")
        if self.config.body and self.config.body.type not in BODY_TYPES:
            found.append(f"The body type {self.config.body.type!r} is not one of {', '.join(sorted(BODY_TYPES))}.")
        if self.config.authorization and self.config.authorization.type not in ("no-auth", "api-key"):
            found.append(f"The authorization type {self.config.authorization.type!r} is not no-auth or api-key.")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """One result; a failed one keeps the request, and the answer where there is one."""
        config = self.config
        prepared = await prepare(config, ctx)
        process_data = {"request": raw_request(prepared, ctx.key)}
        request = to_port(prepared, key=ctx.key, timeouts=config.timeout, limits=ctx.limits, verify=config.ssl_verify)
        try:
            response = await ctx.ports.http.send(request)
            if response.status in _TRY_AGAIN:
                raise NodeFailed(f"Reached maximum retries (0) for URL {prepared.url}", error_type=_ERROR_TYPE)
            outputs = await self._outputs(response, ctx)
        except DifyError as exc:
            kind = "ResponseSizeError" if isinstance(exc, HttpTooLarge) else _ERROR_TYPE
            yield NodeResult.failed(exc, error_type=kind, process_data=process_data)
            return
        if config.handles_errors and not 200 <= response.status < 300:
            yield NodeResult(
                status=NodeStatus.FAILED,
                process_data=process_data,
                outputs=outputs,
                error=f"Request failed with status code {response.status}",
                error_type="HTTPResponseCodeError",
            )
            return
        yield NodeResult(process_data=process_data, outputs=outputs)

    async def _outputs(self, response: HttpResponse, ctx: NodeContext) -> dict[str, Any]:
        as_file = is_file(response)
        _check_size(response, as_file, ctx.limits)
        files = []
        if as_file:
            kind = mime_type(response) or "application/octet-stream"
            files.append(await ctx.ports.files.save(response.content, filename=file_name(response), mime_type=kind))
        return {
            "status_code": response.status,
            "body": "" if as_file else response.text,
            "headers": joined_headers(response),
            "files": Value(ValueType.ARRAY_FILE, files),
        }


def _check_size(response: HttpResponse, as_file: bool, limits: Limits) -> None:
    most = limits.http_request_node_max_binary_size if as_file else limits.http_request_node_max_text_size
    if len(response.content) > most:
        raise NodeFailed(
            f"{'File' if as_file else 'Text'} size is too large, max size is {most / 2**20:.2f} MB, "
            f"but current size is {len(response.content) / 2**20:.2f} MB.",
            error_type="ResponseSizeError",
        )
