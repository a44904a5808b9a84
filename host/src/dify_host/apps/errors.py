"""Errors of apps; texts and codes are those of Dify's API where it has them."""

from __future__ import annotations

from dify_kernel.errors import BadInput, NotFound

__all__ = [
    "AppNotFound",
    "AppUnavailable",
    "DraftWorkflowNotExist",
    "DraftWorkflowNotSync",
    "InvalidDsl",
    "NotAPublishedVersion",
    "SiteNotFound",
    "WorkflowNotFound",
    "WorkflowNotPublished",
]


class AppNotFound(NotFound):
    """The tenant has no app of that id."""


class AppUnavailable(BadInput):
    """The app has no configuration or published workflow to answer with."""

    code = "app_unavailable"


class WorkflowNotPublished(BadInput):
    """The app's workflow was never published."""


class WorkflowNotFound(NotFound):
    """The app has no workflow version of that id."""


class NotAPublishedVersion(BadInput):
    """The id names a draft, or is no id at all."""

    code = "bad_request"


class DraftWorkflowNotExist(BadInput):
    """The app has no draft."""

    code = "draft_workflow_not_exist"


class DraftWorkflowNotSync(BadInput):
    """The draft changed since the caller read it."""

    code = "draft_workflow_not_sync"


class SiteNotFound(NotFound):
    """The app has no web page."""


class InvalidDsl(BadInput):
    """The text of an app does not have the form of one; `where` holds line or field."""
