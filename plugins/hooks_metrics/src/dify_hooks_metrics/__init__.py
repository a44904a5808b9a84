"""Counts what runs, model calls and documents do, and serves the counts to Prometheus at `/metrics`."""

__all__: list[str] = []
