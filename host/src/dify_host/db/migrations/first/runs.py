"""The first tables of workflow runs, their log, their forms, and the outbox, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def human_input_forms() -> None:
    """Create `human_input_forms`."""
    create_table(
        "human_input_forms",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=False),
        sa.Column("node_execution_id", types.Id(), nullable=False),
        sa.Column("form_kind", sa.String(length=20), server_default="runtime", nullable=False),
        sa.Column("node_id", sa.String(length=255), nullable=False),
        sa.Column("node_title", sa.String(length=255), nullable=False),
        sa.Column("form_definition", types.JsonText(), nullable=False),
        sa.Column("rendered_content", types.LongText(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("expiration_time", types.Moment(), nullable=True),
        sa.Column("selected_action_id", sa.String(length=200), nullable=True),
        sa.Column("submitted_data", types.JsonText(), nullable=True),
        sa.Column("submitted_at", types.Moment(), nullable=True),
        sa.Column("submission_user_id", types.Id(), nullable=True),
        sa.Column("submission_end_user_id", types.Id(), nullable=True),
        sa.Column("resumed_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_human_input_forms_status_expiration_time"),
        "human_input_forms",
        ["status", "expiration_time"],
        unique=False,
    )
    op.create_index(
        op.f("ix_human_input_forms_status_resumed_at"), "human_input_forms", ["status", "resumed_at"], unique=False
    )
    op.create_index(
        op.f("ix_human_input_forms_tenant_id_app_id"), "human_input_forms", ["tenant_id", "app_id"], unique=False
    )
    op.create_index(
        op.f("ix_human_input_forms_workflow_run_id_node_id"),
        "human_input_forms",
        ["workflow_run_id", "node_id"],
        unique=False,
    )


def workflow_app_logs() -> None:
    """Create `workflow_app_logs`."""
    create_table(
        "workflow_app_logs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=False),
        sa.Column("created_from", sa.String(length=255), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_workflow_app_logs_created_at_id"), "workflow_app_logs", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_workflow_app_logs_tenant_id_app_id_created_at"),
        "workflow_app_logs",
        ["tenant_id", "app_id", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workflow_app_logs_workflow_run_id"), "workflow_app_logs", ["workflow_run_id"], unique=False
    )


def workflow_conversation_variables() -> None:
    """Create `workflow_conversation_variables`."""
    create_table(
        "workflow_conversation_variables",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("conversation_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("data", types.JsonText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", "conversation_id"),
    )
    op.create_index(
        op.f("ix_workflow_conversation_variables_app_id"), "workflow_conversation_variables", ["app_id"], unique=False
    )
    op.create_index(
        op.f("ix_workflow_conversation_variables_conversation_id_54617145"),
        "workflow_conversation_variables",
        ["conversation_id", "created_at"],
        unique=False,
    )


def workflow_node_executions() -> None:
    """Create `workflow_node_executions`."""
    create_table(
        "workflow_node_executions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("triggered_from", sa.String(length=255), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=True),
        sa.Column("index", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("predecessor_node_id", sa.String(length=255), nullable=True),
        sa.Column("node_execution_id", sa.String(length=255), nullable=True),
        sa.Column("node_id", sa.String(length=255), nullable=False),
        sa.Column("node_type", sa.String(length=255), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("inputs", types.JsonText(), nullable=True),
        sa.Column("process_data", types.JsonText(), nullable=True),
        sa.Column("outputs", types.JsonText(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("elapsed_time", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("execution_metadata", types.JsonText(), nullable=True),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("finished_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_workflow_node_executions_created_at_id"),
        "workflow_node_executions",
        ["created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workflow_node_executions_tenant_id_app_id_workf_4376bd33"),
        "workflow_node_executions",
        ["tenant_id", "app_id", "workflow_id", "triggered_from", "node_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workflow_node_executions_tenant_id_app_id_workf_b9d43203"),
        "workflow_node_executions",
        ["tenant_id", "app_id", "workflow_id", "triggered_from", "node_execution_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workflow_node_executions_workflow_run_id_index"),
        "workflow_node_executions",
        ["workflow_run_id", "index"],
        unique=False,
    )


def workflow_pause_reasons() -> None:
    """Create `workflow_pause_reasons`."""
    create_table(
        "workflow_pause_reasons",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("pause_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("form_id", sa.String(length=255), nullable=True),
        sa.Column("message", sa.String(length=255), nullable=True),
        sa.Column("node_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_workflow_pause_reasons_pause_id"), "workflow_pause_reasons", ["pause_id"], unique=False)


def workflow_pauses() -> None:
    """Create `workflow_pauses`."""
    create_table(
        "workflow_pauses",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=False),
        sa.Column("resumed_at", types.Moment(), nullable=True),
        sa.Column("state_object_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workflow_run_id", name=op.f("uq_workflow_pauses_workflow_run_id")),
    )


def workflow_payloads() -> None:
    """Create `workflow_payloads`."""
    create_table(
        "workflow_payloads",
        sa.Column("owner_id", types.Id(), nullable=False),
        sa.Column("object_key", sa.String(length=160), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "object_key"),
    )
    op.create_index(op.f("ix_workflow_payloads_object_key"), "workflow_payloads", ["object_key"], unique=False)


def workflow_run_events() -> None:
    """Create `workflow_run_events`."""
    create_table(
        "workflow_run_events",
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("payload", types.LongText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq"),
    )
    op.create_index(op.f("ix_workflow_run_events_created_at"), "workflow_run_events", ["created_at"], unique=False)


def workflow_run_leases() -> None:
    """Create `workflow_run_leases`."""
    create_table(
        "workflow_run_leases",
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index(op.f("ix_workflow_run_leases_expires_at"), "workflow_run_leases", ["expires_at"], unique=False)


def workflow_runs() -> None:
    """Create `workflow_runs`."""
    create_table(
        "workflow_runs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("triggered_from", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("graph", types.JsonText(), nullable=True),
        sa.Column("inputs", types.JsonText(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("outputs", types.JsonText(), nullable=True),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("elapsed_time", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_steps", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("exceptions_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("finished_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_workflow_runs_app_id_status_created_at"),
        "workflow_runs",
        ["app_id", "status", "created_at"],
        unique=False,
    )
    op.create_index(op.f("ix_workflow_runs_created_at_id"), "workflow_runs", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_workflow_runs_tenant_id_app_id_triggered_from_created_at"),
        "workflow_runs",
        ["tenant_id", "app_id", "triggered_from", "created_at"],
        unique=False,
    )


def workflow_trigger_logs() -> None:
    """Create `workflow_trigger_logs`."""
    create_table(
        "workflow_trigger_logs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=True),
        sa.Column("root_node_id", sa.String(length=255), nullable=True),
        sa.Column("trigger_metadata", types.JsonText(), nullable=True),
        sa.Column("trigger_type", sa.String(length=50), nullable=False),
        sa.Column("trigger_data", types.JsonText(), nullable=True),
        sa.Column("inputs", types.JsonText(), nullable=True),
        sa.Column("outputs", types.JsonText(), nullable=True),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("queue_name", sa.String(length=100), nullable=False),
        sa.Column("celery_task_id", sa.String(length=255), nullable=True),
        sa.Column("created_by_role", sa.String(length=255), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("retry_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("elapsed_time", sa.Double(), nullable=True),
        sa.Column("total_tokens", sa.BigInteger(), nullable=True),
        sa.Column("triggered_at", types.Moment(), nullable=True),
        sa.Column("finished_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_workflow_trigger_logs_created_at"), "workflow_trigger_logs", ["created_at"], unique=False)
    op.create_index(op.f("ix_workflow_trigger_logs_status"), "workflow_trigger_logs", ["status"], unique=False)
    op.create_index(
        op.f("ix_workflow_trigger_logs_tenant_id_app_id"),
        "workflow_trigger_logs",
        ["tenant_id", "app_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workflow_trigger_logs_workflow_id"), "workflow_trigger_logs", ["workflow_id"], unique=False
    )
    op.create_index(
        op.f("ix_workflow_trigger_logs_workflow_run_id"), "workflow_trigger_logs", ["workflow_run_id"], unique=False
    )


def outbox() -> None:
    """Create `outbox`."""
    create_table(
        "outbox",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("args", types.JsonText(), nullable=False),
        sa.Column("dedupe_key", sa.String(length=255), nullable=True),
        sa.Column("eta", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("claimed_until", types.Moment(), nullable=True),
        sa.Column("sent_at", types.Moment(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_outbox_dedupe_key")),
    )
    op.create_index(op.f("ix_outbox_sent_at_id"), "outbox", ["sent_at", "id"], unique=False)


TABLES = (
    human_input_forms,
    workflow_app_logs,
    workflow_conversation_variables,
    workflow_node_executions,
    workflow_pause_reasons,
    workflow_pauses,
    workflow_payloads,
    workflow_run_events,
    workflow_run_leases,
    workflow_runs,
    workflow_trigger_logs,
    outbox,
)
