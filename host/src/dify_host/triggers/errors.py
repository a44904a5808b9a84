"""Errors of triggers."""

from __future__ import annotations

from dify_kernel.errors import BadInput, NotFound

__all__ = ["InvalidSchedule", "TooManyWebhooks", "TriggerNotFound", "WebhookNotFound", "WebhookRefused"]


class InvalidSchedule(BadInput):
    """A schedule has no times: its expression, time zone or form cannot be read."""

    code = "invalid_schedule"


class TooManyWebhooks(BadInput):
    """A workflow has more webhook nodes than it may have."""

    code = "webhook_limit_exceeded"


class TriggerNotFound(NotFound):
    """The tenant's app has no trigger of that id."""


class WebhookNotFound(NotFound):
    """Nothing listens under that id: unknown, switched off, or of a workflow that is not published."""


class WebhookRefused(BadInput):
    """A request is not what its webhook takes."""

    code = "bad_request"
