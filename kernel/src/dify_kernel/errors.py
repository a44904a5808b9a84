"""Every error the platform raises: one root, one family a contract, each class with a code and a retry flag.

The host maps errors to HTTP by class (`status`) and never by message text. A message says what happened, where,
and what to do about it. Plugins translate their vendor's errors with `raise ... from exc`.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AuthError",
    "BadInput",
    "CodeExecutionError",
    "Conflict",
    "ContractMismatch",
    "CredentialsValidateFailedError",
    "DatasourceError",
    "DatasourceItemNotFound",
    "DatasourceUnauthorized",
    "DatasourceUnavailable",
    "DifyError",
    "Forbidden",
    "GraphError",
    "InvalidGraph",
    "InvalidKey",
    "InvalidQuery",
    "InvokeAuthorizationError",
    "InvokeBadRequestError",
    "InvokeConnectionError",
    "InvokeError",
    "InvokeRateLimitError",
    "InvokeServerUnavailableError",
    "LogError",
    "NodeFailed",
    "NotFound",
    "NotImplementedYet",
    "ObjectNotFound",
    "OutboundRefused",
    "PluginBroken",
    "PluginConflict",
    "PlatformUnavailable",
    "PluginError",
    "PluginNotFound",
    "RunFenced",
    "SettingsError",
    "StorageError",
    "StorageUnavailable",
    "StoreRateLimited",
    "StoreUnauthorized",
    "StoreUnavailable",
    "TooLarge",
    "ToolError",
    "Unauthorized",
    "VectorStoreError",
]


class DifyError(Exception):
    """Root of every error; `code` is stable, `retryable` says whether the same call may succeed later.

    `hint` tells what to do; `where` names the place (node_id, document_id, plugin, setting, path).
    """

    code: ClassVar[str] = "internal_server_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **where: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = {key: value for key, value in where.items() if value is not None}

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    @property
    def description(self) -> str:
        """The message and what to do about it, as one text for a person."""
        return str(self)


# -- what the platform stands on ---------------------------------------------------------------------------


class PlatformUnavailable(DifyError):
    """A server that the platform itself stands on does not answer: what was tried is not done yet, and did not fail.

    A run that meets it is let go, and goes on from its log when the server is back. So nobody on the way of a run may
    take it for a failure of what was asked: whoever catches DifyError raises it again.
    """

    code = "platform_unavailable"
    status = 503
    retryable = True


# -- what a caller did -------------------------------------------------------------------------------------


class BadInput(DifyError):
    """A value from outside is missing, of the wrong type, unknown or out of range."""

    code = "invalid_param"
    status = 400


class TooLarge(BadInput):
    """A body, file or text is over its limit."""

    code = "request_entity_too_large"
    status = 413


class NotFound(DifyError):
    """The named thing does not exist, or belongs to somebody else."""

    code = "not_found"
    status = 404


class Conflict(DifyError):
    """The thing exists already, or is in use."""

    code = "conflict"
    status = 409


class NotImplementedYet(DifyError):
    """The route or feature is known and not built yet."""

    code = "not_implemented"
    status = 501


class OutboundRefused(DifyError):
    """An outbound request was refused by the guard: a private address, a bad scheme, or too large an answer."""

    code = "outbound_refused"
    status = 400


# -- who is calling ----------------------------------------------------------------------------------------


class AuthError(DifyError):
    """Root of errors about identity."""

    code = "unauthorized"
    status = 401


class Unauthorized(AuthError):
    """No credentials, or credentials that are not valid."""


class Forbidden(AuthError):
    """Valid credentials without the right to do this."""

    code = "forbidden"
    status = 403


# -- plugins and settings ----------------------------------------------------------------------------------


class SettingsError(DifyError):
    """A setting is missing or malformed; `where` names the variable."""

    code = "invalid_setting"


class PluginError(DifyError):
    """Root of errors about plugins."""

    code = "plugin_error"


class PluginNotFound(PluginError):
    """No installed distribution offers that name."""

    code = "plugin_not_found"
    status = 400


class PluginBroken(PluginError):
    """The plugin is installed and failed to import or to register what it promised."""

    code = "plugin_broken"


class PluginConflict(PluginError):
    """Two distributions offer the same name."""

    code = "plugin_conflict"


class ContractMismatch(PluginError):
    """The plugin was written for another version of its contract."""

    code = "plugin_contract_mismatch"


# -- vector stores -----------------------------------------------------------------------------------------


class VectorStoreError(DifyError):
    """Root of errors of vector stores."""

    code = "vector_store_error"


class StoreUnavailable(VectorStoreError):
    """The store does not answer; the call may be repeated."""

    code = "vector_store_unavailable"
    status = 503
    retryable = True


class StoreUnauthorized(VectorStoreError):
    """The store refused the configured credentials."""

    code = "vector_store_unauthorized"


class StoreRateLimited(VectorStoreError):
    """The store asks to slow down."""

    code = "vector_store_rate_limited"
    status = 503
    retryable = True


class InvalidQuery(VectorStoreError):
    """The request cannot be expressed: wrong dimension, unknown space, bad top_k or filter."""

    code = "vector_store_invalid_query"
    status = 400


# -- object storage ----------------------------------------------------------------------------------------


class StorageError(DifyError):
    """Root of errors of object storages."""

    code = "storage_error"


class ObjectNotFound(StorageError):
    """There is no object under that key."""

    code = "object_not_found"
    status = 404


class InvalidKey(StorageError):
    """The key is empty, absolute, or leaves its root."""

    code = "invalid_storage_key"
    status = 400


class StorageUnavailable(StorageError):
    """The storage does not answer; the call may be repeated."""

    code = "storage_unavailable"
    status = 503
    retryable = True


# -- models (names as in Dify's model runtime: apps see them as `error_type`) ------------------------------


class InvokeError(DifyError):
    """Root of errors of model calls."""

    code = "completion_request_error"
    status = 400


class InvokeConnectionError(InvokeError):
    """The endpoint cannot be reached, or the connection broke."""

    retryable = True


class InvokeServerUnavailableError(InvokeError):
    """The endpoint answered with a server error."""

    retryable = True


class InvokeRateLimitError(InvokeError):
    """The endpoint asks to slow down."""

    retryable = True


class InvokeAuthorizationError(InvokeError):
    """The endpoint refused the credentials."""


class InvokeBadRequestError(InvokeError):
    """The endpoint refused the request: unknown model, bad parameter, context too long, content refused."""


class CredentialsValidateFailedError(InvokeError):
    """Credentials did not pass validation when they were saved."""

    code = "invalid_param"


# -- graphs and runs ---------------------------------------------------------------------------------------


class GraphError(DifyError):
    """Root of errors about graphs and runs."""

    code = "graph_error"


class InvalidGraph(GraphError):
    """The graph does not compile; `problems` holds every reason with its node id."""

    code = "invalid_graph"
    status = 400

    def __init__(self, message: str, *, problems: list[Any] | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.problems = problems or []


class NodeFailed(GraphError):
    """A node failed; `error_type` is what an error branch and the run record show."""

    code = "node_failed"
    status = 400

    def __init__(self, message: str, *, error_type: str = "NodeFailed", **where: Any) -> None:
        super().__init__(message, **where)
        self.error_type = error_type


class CodeExecutionError(GraphError):
    """User code failed, timed out, or could not be run at all."""

    code = "code_execution_error"
    status = 400


class LogError(GraphError):
    """The run log refused an append: a gap, or a run that has ended."""

    code = "run_log_error"


class RunFenced(LogError):
    """Another process holds the run's lease; this one must stop at once."""

    code = "run_fenced"


# -- tools -------------------------------------------------------------------------------------------------


class ToolError(DifyError):
    """A tool failed or was called with wrong parameters."""

    code = "tool_error"
    status = 400


# -- data sources ------------------------------------------------------------------------------------------


class DatasourceError(DifyError):
    """A data source failed, refused what it was asked for, or answered what cannot be understood."""

    code = "datasource_error"
    status = 400


class DatasourceUnavailable(DatasourceError):
    """The source cannot be reached, is busy, or asks to come back later."""

    code = "datasource_unavailable"
    status = 502
    retryable = True


class DatasourceUnauthorized(DatasourceError):
    """The source refuses the credentials."""

    code = "datasource_unauthorized"


class DatasourceItemNotFound(DatasourceError):
    """The source has no such page, document or file, or shows it no more."""

    code = "datasource_item_not_found"
    status = 404
