"""What can go wrong with knowledge pipelines."""

from __future__ import annotations

from dify_kernel.errors import DifyError, NotFound

__all__ = ["PipelineNotFound", "PipelineRunError", "TemplateNotFound"]


class PipelineNotFound(NotFound):
    """The workspace has no knowledge pipeline of that id, or the knowledge base has none."""

    code = "pipeline_not_found"


class TemplateNotFound(NotFound):
    """The workspace has no template of that id."""

    code = "template_not_found"


class PipelineRunError(DifyError):
    """A run of a pipeline that somebody waits for did not succeed."""

    code = "pipeline_run_error"
    status = 500
