"""The first tables of apps, workflows, sites and tags, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def api_based_extensions() -> None:
    """Create `api_based_extensions`."""
    create_table(
        "api_based_extensions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("api_endpoint", sa.String(length=255), nullable=False),
        sa.Column("api_key", types.LongText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_api_based_extensions_tenant_id"), "api_based_extensions", ["tenant_id"], unique=False)


def app_annotation_settings() -> None:
    """Create `app_annotation_settings`."""
    create_table(
        "app_annotation_settings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("score_threshold", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("collection_binding_id", types.Id(), nullable=False),
        sa.Column("index_struct", types.JsonText(), nullable=True),
        sa.Column("created_user_id", types.Id(), nullable=False),
        sa.Column("updated_user_id", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", name=op.f("uq_app_annotation_settings_app_id")),
    )


def app_dataset_joins() -> None:
    """Create `app_dataset_joins`."""
    create_table(
        "app_dataset_joins",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", "app_id", name=op.f("uq_app_dataset_joins_dataset_id_app_id")),
    )
    op.create_index(op.f("ix_app_dataset_joins_app_id"), "app_dataset_joins", ["app_id"], unique=False)


def app_mcp_servers() -> None:
    """Create `app_mcp_servers`."""
    create_table(
        "app_mcp_servers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("server_code", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("parameters", types.JsonText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("server_code", name=op.f("uq_app_mcp_servers_server_code")),
        sa.UniqueConstraint("tenant_id", "app_id", name=op.f("uq_app_mcp_servers_tenant_id_app_id")),
    )


def app_model_configs() -> None:
    """Create `app_model_configs`."""
    create_table(
        "app_model_configs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("provider", sa.String(length=255), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("configs", types.JsonText(), nullable=True),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("opening_statement", types.LongText(), nullable=True),
        sa.Column("suggested_questions", types.JsonText(), nullable=True),
        sa.Column("suggested_questions_after_answer", types.JsonText(), nullable=True),
        sa.Column("speech_to_text", types.JsonText(), nullable=True),
        sa.Column("text_to_speech", types.JsonText(), nullable=True),
        sa.Column("more_like_this", types.JsonText(), nullable=True),
        sa.Column("model", types.JsonText(), nullable=True),
        sa.Column("user_input_form", types.JsonText(), nullable=True),
        sa.Column("dataset_query_variable", sa.String(length=255), nullable=True),
        sa.Column("pre_prompt", types.LongText(), nullable=True),
        sa.Column("agent_mode", types.JsonText(), nullable=True),
        sa.Column("sensitive_word_avoidance", types.JsonText(), nullable=True),
        sa.Column("retriever_resource", types.JsonText(), nullable=True),
        sa.Column("prompt_type", sa.String(length=255), server_default="simple", nullable=False),
        sa.Column("chat_prompt_config", types.JsonText(), nullable=True),
        sa.Column("completion_prompt_config", types.JsonText(), nullable=True),
        sa.Column("dataset_configs", types.JsonText(), nullable=True),
        sa.Column("external_data_tools", types.JsonText(), nullable=True),
        sa.Column("file_upload", types.JsonText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_app_model_configs_app_id"), "app_model_configs", ["app_id"], unique=False)


def app_triggers() -> None:
    """Create `app_triggers`."""
    create_table(
        "app_triggers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("trigger_type", sa.String(length=50), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("provider_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("status", sa.String(length=50), server_default="enabled", nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "node_id", name=op.f("uq_app_triggers_app_id_node_id")),
    )
    op.create_index(op.f("ix_app_triggers_tenant_id_app_id"), "app_triggers", ["tenant_id", "app_id"], unique=False)


def apps() -> None:
    """Create `apps`."""
    create_table(
        "apps",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("mode", sa.String(length=255), nullable=False),
        sa.Column("icon_type", sa.String(length=255), nullable=True),
        sa.Column("icon", sa.String(length=255), nullable=True),
        sa.Column("icon_background", sa.String(length=255), nullable=True),
        sa.Column("app_model_config_id", types.Id(), nullable=True),
        sa.Column("workflow_id", types.Id(), nullable=True),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("enable_site", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("enable_api", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("api_rpm", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("api_rph", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_demo", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_public", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_universal", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("tracing", types.JsonText(), nullable=True),
        sa.Column("max_active_requests", sa.Integer(), nullable=True),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("use_icon_as_answer_icon", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_apps_tenant_id_created_at"), "apps", ["tenant_id", "created_at"], unique=False)


def installed_apps() -> None:
    """Create `installed_apps`."""
    create_table(
        "installed_apps",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("app_owner_tenant_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_used_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "app_id", name=op.f("uq_installed_apps_tenant_id_app_id")),
    )
    op.create_index(op.f("ix_installed_apps_app_id"), "installed_apps", ["app_id"], unique=False)


def sites() -> None:
    """Create `sites`."""
    create_table(
        "sites",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("icon_type", sa.String(length=255), nullable=True),
        sa.Column("icon", sa.String(length=255), nullable=True),
        sa.Column("icon_background", sa.String(length=255), nullable=True),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("default_language", sa.String(length=255), nullable=False),
        sa.Column("chat_color_theme", sa.String(length=255), nullable=True),
        sa.Column("chat_color_theme_inverted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("copyright", sa.String(length=255), nullable=True),
        sa.Column("privacy_policy", sa.String(length=255), nullable=True),
        sa.Column("show_workflow_steps", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("use_icon_as_answer_icon", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("custom_disclaimer", types.LongText(), nullable=True),
        sa.Column("customize_domain", sa.String(length=255), nullable=True),
        sa.Column("customize_token_strategy", sa.String(length=255), server_default="not_allow", nullable=False),
        sa.Column("prompt_public", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code", name=op.f("uq_sites_code")),
    )
    op.create_index(op.f("ix_sites_app_id"), "sites", ["app_id"], unique=False)


def tag_bindings() -> None:
    """Create `tag_bindings`."""
    create_table(
        "tag_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("tag_id", types.Id(), nullable=False),
        sa.Column("target_id", types.Id(), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tag_id", "target_id", name=op.f("uq_tag_bindings_tag_id_target_id")),
    )
    op.create_index(op.f("ix_tag_bindings_target_id"), "tag_bindings", ["target_id"], unique=False)


def tags() -> None:
    """Create `tags`."""
    create_table(
        "tags",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "type", "name", name=op.f("uq_tags_tenant_id_type_name")),
    )


def trace_app_config() -> None:
    """Create `trace_app_config`."""
    create_table(
        "trace_app_config",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("tracing_provider", sa.String(length=255), nullable=False),
        sa.Column("tracing_config", types.JsonText(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "tracing_provider", name=op.f("uq_trace_app_config_app_id_tracing_provider")),
    )


def workflow_draft_variable_files() -> None:
    """Create `workflow_draft_variable_files`."""
    create_table(
        "workflow_draft_variable_files",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("upload_file_id", types.Id(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("value_type", sa.String(length=20), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_workflow_draft_variable_files_tenant_id_app_id"),
        "workflow_draft_variable_files",
        ["tenant_id", "app_id"],
        unique=False,
    )


def workflow_draft_variables() -> None:
    """Create `workflow_draft_variables`."""
    create_table(
        "workflow_draft_variables",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("last_edited_at", types.Moment(), nullable=True),
        sa.Column("node_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), server_default="", nullable=False),
        sa.Column("selector", types.JsonText(), nullable=False),
        sa.Column("value_type", sa.String(length=20), nullable=False),
        sa.Column("value", types.JsonText(), nullable=True),
        sa.Column("visible", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("editable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("node_execution_id", types.Id(), nullable=True),
        sa.Column("file_id", types.Id(), nullable=True),
        sa.Column("is_default_value", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "node_id", "name", name=op.f("uq_workflow_draft_variables_app_id_node_id_name")),
    )
    op.create_index(op.f("ix_workflow_draft_variables_file_id"), "workflow_draft_variables", ["file_id"], unique=False)


def workflow_schedule_plans() -> None:
    """Create `workflow_schedule_plans`."""
    create_table(
        "workflow_schedule_plans",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("cron_expression", sa.String(length=255), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("next_run_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "node_id", name=op.f("uq_workflow_schedule_plans_app_id_node_id")),
    )
    op.create_index(
        op.f("ix_workflow_schedule_plans_next_run_at"), "workflow_schedule_plans", ["next_run_at"], unique=False
    )


def workflow_webhook_triggers() -> None:
    """Create `workflow_webhook_triggers`."""
    create_table(
        "workflow_webhook_triggers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("webhook_id", sa.String(length=64), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "node_id", name=op.f("uq_workflow_webhook_triggers_app_id_node_id")),
        sa.UniqueConstraint("webhook_id", name=op.f("uq_workflow_webhook_triggers_webhook_id")),
    )
    op.create_index(
        op.f("ix_workflow_webhook_triggers_tenant_id"), "workflow_webhook_triggers", ["tenant_id"], unique=False
    )


def workflows() -> None:
    """Create `workflows`."""
    create_table(
        "workflows",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("marked_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("marked_comment", types.LongText(), nullable=True),
        sa.Column("graph", types.JsonText(), nullable=False),
        sa.Column("features", types.JsonText(), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("environment_variables", types.JsonText(), nullable=True),
        sa.Column("conversation_variables", types.JsonText(), nullable=True),
        sa.Column("rag_pipeline_variables", types.JsonText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "app_id", "version", name=op.f("uq_workflows_tenant_id_app_id_version")),
    )


TABLES = (
    api_based_extensions,
    app_annotation_settings,
    app_dataset_joins,
    app_mcp_servers,
    app_model_configs,
    app_triggers,
    apps,
    installed_apps,
    sites,
    tag_bindings,
    tags,
    trace_app_config,
    workflow_draft_variable_files,
    workflow_draft_variables,
    workflow_schedule_plans,
    workflow_webhook_triggers,
    workflows,
)
