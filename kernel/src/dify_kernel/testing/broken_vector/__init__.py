"""Vector stores with one fault each: the suite for vector stores must fail every one of them."""

from __future__ import annotations

from dify_kernel.testing.broken_vector import answers, finding, records, server, spaces
from dify_kernel.testing.broken_vector.register import BROKEN

__all__ = ["BROKEN", "answers", "finding", "records", "server", "spaces"]
