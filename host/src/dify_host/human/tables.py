"""Table of the forms that runs wait for."""

from __future__ import annotations

from dify_host.db.schema import index, json_text, long_text, moment, ref, string, table

__all__ = ["human_input_forms"]

# `form_definition` is the question as the node asked it. `resumed_at` is when the run went on with the answer.
human_input_forms = table(
    "human_input_forms",
    ref("tenant_id"),
    ref("app_id"),
    ref("workflow_run_id"),
    ref("node_execution_id"),
    string("form_kind", 20, default="runtime"),
    string("node_id"),
    string("node_title"),
    json_text("form_definition", null=False),
    long_text("rendered_content", null=False),
    string("status", 20),
    moment("expiration_time"),
    string("selected_action_id", 200, null=True),
    json_text("submitted_data"),
    moment("submitted_at"),
    ref("submission_user_id", null=True),
    ref("submission_end_user_id", null=True),
    moment("resumed_at"),
    index("workflow_run_id", "node_id"),
    index("status", "expiration_time"),
    index("status", "resumed_at"),
    index("tenant_id", "app_id"),
)
