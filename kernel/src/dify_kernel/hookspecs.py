"""Every hook a plugin may implement, by life-cycle stage; nothing else.

Contributing hooks get a `register` callable and are called once, for the plugin that a name resolves to. Watching hooks
are called for every active plugin that has them; what they raise is reported and never stops the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import msgspec


__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("dify")
hookimpl = pluggy.HookimplMarker("dify")

# ---- contribute --------------------------------------------------------------------------------------------


@hookspec
def register_vector_stores(register: Callable[..., None]) -> None:
    """Offer vector stores: `register(name, settings_struct, factory, prefix="QDRANT_")`.

    When: once, when the plugin is first named. Args: `register(name: str, settings: type[Struct],
    factory: Callable[[settings], VectorStore], *, prefix: str)`. Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_storages(register: Callable[..., None]) -> None:
    """Offer object storages: `register(name, settings_struct, factory, prefix="S3_")`.

    When: once, when the plugin is first named. Args: `register(name: str, settings: type[Struct],
    factory: Callable[[settings], Storage], *, prefix: str)`. Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_model_providers(register: Callable[..., None]) -> None:
    """Offer model providers: `register(provider_class)`.

    When: once, when the plugin is first named. Args: `register(provider: type[ModelProvider])`; its `name` is the
    public name. Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_nodes(register: Callable[..., None]) -> None:
    """Offer node types: `register(node_class)`.

    When: once, when the plugin is first named. Args: `register(node: type[Node])`; one class per `type` and `version`.
    Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_authenticators(register: Callable[..., None]) -> None:
    """Offer authenticators: `register(authenticator_class)`.

    When: once, at start of the host. Args: `register(authenticator: type[Authenticator])`.
    Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_login_methods(register: Callable[..., None]) -> None:
    """Offer login methods: `register(login_method_class)`.

    When: once, at start of the host. Args: `register(method: type[LoginMethod])`.
    Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_tools(register: Callable[..., None]) -> None:
    """Offer tool providers: `register(provider_class)`.

    When: once, when the plugin is first named. Args: `register(provider: type[ToolProvider])`.
    Raises: what it raises makes the plugin broken.
    """


@hookspec
def register_datasources(register: Callable[..., None]) -> None:
    """Offer sources of knowledge: `register(provider_class)`.

    When: once, when the plugin is first named. Args: `register(provider: type[DatasourceProvider])`; its `name` is the
    public name. Raises: what it raises makes the plugin broken.
    """


# ---- start -------------------------------------------------------------------------------------------------


@hookspec
def configure_app(mount: Callable[[str, Any], None]) -> None:
    """Add ASGI applications to the host's server: `mount("/metrics", asgi_app)`.

    When: once, while the API process starts. Args: `mount(path: str, app: ASGI application)`.
    Raises: reported; the path is then absent.
    """


# ---- observe -----------------------------------------------------------------------------------------------


@hookspec
def run_event(run: Any, event: msgspec.Struct) -> None:
    """See every event of every run of this process, token deltas excepted.

    When: on the event loop, right after the event got its number; must return at once. Args: `run` is the RunInfo,
    `event` a struct of `dify_kernel.graph.events`. Raises: reported once per plugin.
    """


@hookspec
def model_invoked(provider: str, model: str, model_type: str, usage: Any, error: BaseException | None) -> None:
    """See every finished model call of this process.

    When: on the event loop, after the call; must return at once. Args: `usage` is a Usage or None, `error` None
    when the call succeeded. Raises: reported once per plugin.
    """


@hookspec
def document_indexed(tenant_id: str, dataset_id: str, document_id: str, status: str) -> None:
    """See every document that reached `completed` or `error`.

    When: in the worker, after the row is stored. Args: ids and the indexing status. Raises: reported once per plugin.
    """
