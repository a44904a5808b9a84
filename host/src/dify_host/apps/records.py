"""What the rest of the host sees of apps: plain records, secrets decrypted, never a table row."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

__all__ = [
    "NO_CHAT",
    "PIPELINE_MODE",
    "AppMode",
    "AppRecord",
    "ModelConfig",
    "RunMode",
    "SiteRecord",
    "Variable",
    "WorkflowRecord",
]

AppMode = Literal["workflow", "advanced-chat", "chat", "agent-chat", "completion"]
RunMode = Literal["workflow", "advanced-chat", "chat", "agent-chat", "completion", "rag-pipeline"]
"""What runs: an app in its mode, or a knowledge pipeline."""
PIPELINE_MODE: Final = "rag-pipeline"
#: What runs without a conversation and its messages.
NO_CHAT: Final = ("workflow", PIPELINE_MODE)


class AppRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One app, or a knowledge pipeline as it is run: an app of the mode `rag-pipeline`."""

    id: str
    tenant_id: str
    name: str
    mode: RunMode
    description: str | None = ""
    icon_type: str | None = None
    icon: str | None = None
    icon_background: str | None = None
    status: str = "normal"
    enable_site: bool = False
    enable_api: bool = False
    app_model_config_id: str | None = None
    workflow_id: str | None = None
    max_active_requests: int | None = None
    use_icon_as_answer_icon: bool = False
    created_by: str | None = None
    created_at: datetime
    updated_at: datetime


class Variable(msgspec.Struct, kw_only=True):
    """An environment or conversation variable of a workflow; `value_type` secret holds the clear value here."""

    id: str
    name: str
    value_type: str
    value: Any = None
    description: str = ""
    selector: list[str] = []


class WorkflowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the workflow of an app or a pipeline; `version` is `draft` or the time of publishing.

    `rag_pipeline_variables` are the form of a pipeline, in the shape of the DSL.
    """

    id: str
    tenant_id: str
    app_id: str
    type: str
    version: str
    graph: dict[str, Any]
    features: dict[str, Any]
    environment_variables: list[Variable] = []
    conversation_variables: list[Variable] = []
    rag_pipeline_variables: list[dict[str, Any]] = []
    hash: str | None = None
    marked_name: str = ""
    marked_comment: str | None = None
    created_by: str = ""
    created_at: datetime
    updated_by: str | None = None
    updated_at: datetime | None = None


class SiteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The web page of an app; `code` is the random name in its address."""

    id: str
    app_id: str
    code: str
    title: str
    icon_type: str | None = None
    icon: str | None = None
    icon_background: str | None = None
    description: str | None = None
    default_language: str = "en-US"
    chat_color_theme: str | None = None
    chat_color_theme_inverted: bool = False
    copyright: str | None = None
    privacy_policy: str | None = None
    show_workflow_steps: bool = True
    use_icon_as_answer_icon: bool = False
    custom_disclaimer: str | None = None
    customize_domain: str | None = None
    customize_token_strategy: str = "not_allow"  # noqa: S105 - a policy, no token
    prompt_public: bool = False
    status: str = "normal"
    created_by: str | None = None
    created_at: datetime
    updated_at: datetime


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a chat, agent-chat or completion app; mappings are as in the DSL's `model_config`."""

    id: str
    app_id: str
    model: dict[str, Any]
    pre_prompt: str = ""
    prompt_type: str = "simple"
    chat_prompt_config: dict[str, Any] = {}
    completion_prompt_config: dict[str, Any] = {}
    user_input_form: list[dict[str, Any]] = []
    dataset_query_variable: str | None = None
    dataset_configs: dict[str, Any] = {}
    agent_mode: dict[str, Any] = {}
    opening_statement: str | None = None
    suggested_questions: list[str] = []
    suggested_questions_after_answer: dict[str, Any] = {}
    speech_to_text: dict[str, Any] = {}
    text_to_speech: dict[str, Any] = {}
    retriever_resource: dict[str, Any] = {}
    more_like_this: dict[str, Any] = {}
    sensitive_word_avoidance: dict[str, Any] = {}
    external_data_tools: list[dict[str, Any]] = []
    file_upload: dict[str, Any] = {}
