"""Hook implementations: watch, count, and mount the page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dify_kernel.graph.events import NodeFinished, RunFinished
from dify_kernel.hookspecs import hookimpl

__all__ = ["configure_app", "document_indexed", "model_invoked", "run_event"]


@hookimpl
def configure_app(mount: Callable[[str, Any], None]) -> None:
    """Serve the metrics."""
    from dify_hooks_metrics.metrics import metrics_app

    mount("/metrics", metrics_app())


@hookimpl
def run_event(event: Any) -> None:
    """Count finished nodes and runs."""
    if isinstance(event, NodeFinished | RunFinished):
        from dify_hooks_metrics import metrics

        metrics.count_event(event)


@hookimpl
def model_invoked(provider: str, model: str, model_type: str, usage: Any, error: BaseException | None) -> None:
    """Count calls, failures and tokens."""
    from dify_hooks_metrics import metrics

    metrics.count_call(provider, model, model_type, usage, error)


@hookimpl
def document_indexed(status: str) -> None:
    """Count documents by how they ended."""
    from dify_hooks_metrics import metrics

    metrics.DOCUMENTS.labels(status).inc()
