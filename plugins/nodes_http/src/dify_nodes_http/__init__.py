"""The HTTP request node: one request with templated parts, its answer as text or files."""

from dify_nodes_http.plugin import register_nodes

__all__ = ["register_nodes"]
