"""The counters, in a registry of their own; names follow Prometheus' conventions."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.graph.events import NodeFinished, RunFinished
from prometheus_client import CollectorRegistry, Counter, Histogram, make_asgi_app

__all__ = ["DOCUMENTS", "count_call", "count_event", "metrics_app"]

REGISTRY: Final = CollectorRegistry()
RUNS: Final = Counter("dify_runs", "Finished runs.", ["status"], registry=REGISTRY)
RUN_SECONDS: Final = Histogram("dify_run_seconds", "How long runs took.", registry=REGISTRY)
NODES: Final = Counter("dify_nodes", "Finished nodes.", ["node_type", "status"], registry=REGISTRY)
CALLS: Final = Counter(
    "dify_model_calls", "Model calls.", ["provider", "model", "model_type", "outcome"], registry=REGISTRY
)
TOKENS: Final = Counter(
    "dify_model_tokens", "Tokens of model calls.", ["provider", "model", "direction"], registry=REGISTRY
)
DOCUMENTS: Final = Counter("dify_documents", "Documents that finished indexing.", ["status"], registry=REGISTRY)


def count_event(event: NodeFinished | RunFinished) -> None:
    """Count a finished node or run."""
    if isinstance(event, NodeFinished):
        NODES.labels(event.node_type, event.status).inc()
    else:
        RUNS.labels(event.status).inc()
        RUN_SECONDS.observe(event.elapsed_time)


def count_call(provider: str, model: str, model_type: str, usage: Any, error: BaseException | None) -> None:
    """Count a model call; a failed one has no tokens."""
    CALLS.labels(provider, model, model_type, type(error).__name__ if error else "ok").inc()
    if usage is not None:
        TOKENS.labels(provider, model, "in").inc(usage.prompt_tokens)
        TOKENS.labels(provider, model, "out").inc(usage.completion_tokens)


def metrics_app() -> Any:
    """The ASGI application that shows them."""
    return make_asgi_app(REGISTRY)
