"""Why annotations are not taken."""

from __future__ import annotations

from dify_kernel.errors import DifyError

__all__ = ["TooManyImports"]


class TooManyImports(DifyError):
    """A workspace has begun too many imports of annotations: in a minute, in an hour, or at a time."""

    code = "too_many_requests"
    status = 429
    retryable = True
