"""The console API: controllers for those who build apps. No business rule lives here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from dify_host.console.account import AccountController, WorkspaceController
from dify_host.console.annotations import (
    AnnotationController,
    AnnotationImportController,
    AnnotationReplyController,
)
from dify_host.console.app_texts import AppTextController
from dify_host.console.apps import ApiKeyController, AppController
from dify_host.console.draft_runs import DraftRunController
from dify_host.console.draft_triggers import DraftTriggerController
from dify_host.console.draft_variables import DraftVariableController
from dify_host.console.files import ConsoleUploadController
from dify_host.console.forms import FormController
from dify_host.console.knowledge import knowledge_routes
from dify_host.console.login import LoginController
from dify_host.console.pipeline_texts import PipelineTemplateController, PipelineTextController
from dify_host.console.pipelines import (
    PipelineDraftController,
    PipelineFormController,
    PipelineRunController,
    PipelineVariableController,
    PipelineWorkflowController,
)
from dify_host.console.setup import FeatureController, SetupController
from dify_host.console.triggers import TriggerController
from dify_host.console.workflow_runs import RunHistoryController
from dify_host.console.workflows import WorkflowController

__all__ = ["console_routes", "console_uploads"]


def console_routes() -> list[ControllerRouterHandler]:
    """The routes below `/console/api`; each says in its `opt` whom it serves."""
    return [
        SetupController,
        LoginController,
        FeatureController,
        AccountController,
        WorkspaceController,
        AppController,
        ApiKeyController,
        AppTextController,
        AnnotationController,
        AnnotationImportController,
        AnnotationReplyController,
        WorkflowController,
        DraftRunController,
        DraftTriggerController,
        DraftVariableController,
        RunHistoryController,
        PipelineTextController,
        PipelineTemplateController,
        PipelineWorkflowController,
        PipelineDraftController,
        PipelineVariableController,
        PipelineRunController,
        PipelineFormController,
        FormController,
        TriggerController,
        knowledge_routes(),
    ]


def console_uploads() -> list[ControllerRouterHandler]:
    """Those that take files."""
    return [ConsoleUploadController]
