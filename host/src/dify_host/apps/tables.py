"""Tables of apps, their configurations, workflows, sites and tags."""

from __future__ import annotations

from dify_host.db.schema import (
    flag,
    index,
    integer,
    json_text,
    long_text,
    moment,
    real,
    ref,
    string,
    table,
    unique,
)

__all__ = [
    "api_based_extensions",
    "app_annotation_settings",
    "app_dataset_joins",
    "app_mcp_servers",
    "app_model_configs",
    "app_triggers",
    "apps",
    "installed_apps",
    "sites",
    "tag_bindings",
    "tags",
    "trace_app_config",
    "workflow_draft_variable_files",
    "workflow_draft_variables",
    "workflow_schedule_plans",
    "workflow_webhook_triggers",
    "workflows",
]

apps = table(
    "apps",
    ref("tenant_id"),
    string("name"),
    long_text("description"),
    string("mode"),
    string("icon_type", null=True),
    string("icon", null=True),
    string("icon_background", null=True),
    ref("app_model_config_id", null=True),
    ref("workflow_id", null=True),
    string("status", default="normal"),
    flag("enable_site"),
    flag("enable_api"),
    integer("api_rpm"),
    integer("api_rph"),
    flag("is_demo"),
    flag("is_public"),
    flag("is_universal"),
    json_text("tracing"),
    integer("max_active_requests", null=True),
    ref("created_by", null=True),
    ref("updated_by", null=True),
    flag("use_icon_as_answer_icon"),
    index("tenant_id", "created_at"),
)

app_model_configs = table(
    "app_model_configs",
    ref("app_id"),
    string("provider", null=True),
    string("model_id", null=True),
    json_text("configs"),
    ref("created_by", null=True),
    ref("updated_by", null=True),
    long_text("opening_statement"),
    json_text("suggested_questions"),
    json_text("suggested_questions_after_answer"),
    json_text("speech_to_text"),
    json_text("text_to_speech"),
    json_text("more_like_this"),
    json_text("model"),
    json_text("user_input_form"),
    string("dataset_query_variable", null=True),
    long_text("pre_prompt"),
    json_text("agent_mode"),
    json_text("sensitive_word_avoidance"),
    json_text("retriever_resource"),
    string("prompt_type", default="simple"),
    json_text("chat_prompt_config"),
    json_text("completion_prompt_config"),
    json_text("dataset_configs"),
    json_text("external_data_tools"),
    json_text("file_upload"),
    index("app_id"),
)

sites = table(
    "sites",
    ref("app_id"),
    string("title"),
    string("icon_type", null=True),
    string("icon", null=True),
    string("icon_background", null=True),
    long_text("description"),
    string("default_language"),
    string("chat_color_theme", null=True),
    flag("chat_color_theme_inverted"),
    string("copyright", null=True),
    string("privacy_policy", null=True),
    flag("show_workflow_steps", True),
    flag("use_icon_as_answer_icon"),
    long_text("custom_disclaimer"),
    string("customize_domain", null=True),
    string("customize_token_strategy", default="not_allow"),
    flag("prompt_public"),
    string("status", default="normal"),
    ref("created_by", null=True),
    ref("updated_by", null=True),
    string("code"),
    index("app_id"),
    unique("code"),
)

# `version` is `draft`, or the time of publishing.
workflows = table(
    "workflows",
    ref("tenant_id"),
    ref("app_id"),
    string("type"),
    string("version"),
    string("marked_name", default=""),
    long_text("marked_comment"),
    json_text("graph", null=False),
    json_text("features"),
    string("hash", 64, null=True),
    ref("created_by"),
    ref("updated_by", null=True),
    json_text("environment_variables"),
    json_text("conversation_variables"),
    json_text("rag_pipeline_variables"),
    unique("tenant_id", "app_id", "version"),
)

workflow_draft_variables = table(
    "workflow_draft_variables",
    ref("app_id"),
    moment("last_edited_at"),
    string("node_id"),
    string("name"),
    string("description", default=""),
    json_text("selector", null=False),
    string("value_type", 20),
    json_text("value"),
    flag("visible", True),
    flag("editable"),
    ref("node_execution_id", null=True),
    ref("file_id", null=True),
    flag("is_default_value"),
    unique("app_id", "node_id", "name"),
    index("file_id"),
)

workflow_draft_variable_files = table(
    "workflow_draft_variable_files",
    ref("tenant_id"),
    ref("app_id"),
    ref("user_id"),
    ref("upload_file_id"),
    integer("size", null=True),
    integer("length", null=True),
    string("value_type", 20),
    index("tenant_id", "app_id"),
)

installed_apps = table(
    "installed_apps",
    ref("tenant_id"),
    ref("app_id"),
    ref("app_owner_tenant_id"),
    integer("position"),
    flag("is_pinned"),
    moment("last_used_at"),
    unique("tenant_id", "app_id"),
    index("app_id"),
)

app_dataset_joins = table(
    "app_dataset_joins",
    ref("app_id"),
    ref("dataset_id"),
    unique("dataset_id", "app_id"),
    index("app_id"),
    updated=False,
)

app_annotation_settings = table(
    "app_annotation_settings",
    ref("app_id"),
    real("score_threshold"),
    ref("collection_binding_id"),
    json_text("index_struct"),
    ref("created_user_id"),
    ref("updated_user_id"),
    unique("app_id"),
)

app_mcp_servers = table(
    "app_mcp_servers",
    ref("tenant_id"),
    ref("app_id"),
    string("name"),
    long_text("description"),
    string("server_code"),
    string("status", default="normal"),
    json_text("parameters"),
    unique("tenant_id", "app_id"),
    unique("server_code"),
)

trace_app_config = table(
    "trace_app_config",
    ref("app_id"),
    string("tracing_provider"),
    json_text("tracing_config"),
    flag("is_active", True),
    unique("app_id", "tracing_provider"),
)

api_based_extensions = table(
    "api_based_extensions",
    ref("tenant_id"),
    string("name"),
    string("api_endpoint"),
    long_text("api_key", null=False),
    index("tenant_id"),
    updated=False,
)

# What starts a published workflow besides a caller: one row a trigger node.
app_triggers = table(
    "app_triggers",
    ref("tenant_id"),
    ref("app_id"),
    string("node_id", 64),
    string("trigger_type", 50),
    string("title"),
    string("provider_name", default=""),
    string("status", 50, default="enabled"),
    index("tenant_id", "app_id"),
    unique("app_id", "node_id"),
)

workflow_webhook_triggers = table(
    "workflow_webhook_triggers",
    ref("tenant_id"),
    ref("app_id"),
    string("node_id", 64),
    string("webhook_id", 64),
    ref("created_by"),
    index("tenant_id"),
    unique("app_id", "node_id"),
    unique("webhook_id"),
)

workflow_schedule_plans = table(
    "workflow_schedule_plans",
    ref("tenant_id"),
    ref("app_id"),
    string("node_id", 64),
    string("cron_expression"),
    string("timezone", 64),
    moment("next_run_at"),
    unique("app_id", "node_id"),
    index("next_run_at"),
)

# `type` is `app` or `knowledge`.
tags = table(
    "tags",
    ref("tenant_id"),
    string("type", 16),
    string("name"),
    ref("created_by"),
    unique("tenant_id", "type", "name"),
    updated=False,
)

tag_bindings = table(
    "tag_bindings",
    ref("tenant_id"),
    ref("tag_id"),
    ref("target_id"),
    ref("created_by"),
    unique("tag_id", "target_id"),
    index("target_id"),
    updated=False,
)
