"""Why a graph under way ends before it is through."""

from __future__ import annotations

__all__ = ["FramePaused", "LogBroken", "NodeBroke", "RunEnded"]


class NodeBroke(Exception):
    """A node failed without a strategy: the graph that it is in ends, the run or one round of a container."""

    def __init__(self, error: str, error_type: str) -> None:
        super().__init__(error)
        self.error, self.error_type = error, error_type


class RunEnded(BaseException):
    """The whole run ends: it was stopped, or a limit was reached. No node may take it for a failure of its own."""

    def __init__(self, error: str, error_type: str, status: str = "failed") -> None:
        super().__init__(error)
        self.error, self.error_type, self.status = error, error_type, status


class FramePaused(BaseException):
    """Nothing more can happen in a graph until somebody answers."""


class LogBroken(BaseException):
    """The run cannot go on here: its log takes no event, or a server of the platform is away. Its log is the truth."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
