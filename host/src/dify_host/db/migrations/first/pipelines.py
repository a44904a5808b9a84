"""The first tables of knowledge pipelines, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def document_pipeline_execution_logs() -> None:
    """Create `document_pipeline_execution_logs`."""
    create_table(
        "document_pipeline_execution_logs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("pipeline_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("datasource_type", sa.String(length=255), nullable=False),
        sa.Column("datasource_info", types.JsonText(), nullable=False),
        sa.Column("datasource_node_id", sa.String(length=255), nullable=False),
        sa.Column("input_data", types.Json(), nullable=True),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_document_pipeline_execution_logs_document_id_created_at"),
        "document_pipeline_execution_logs",
        ["document_id", "created_at"],
        unique=False,
    )


def pipeline_customized_templates() -> None:
    """Create `pipeline_customized_templates`."""
    create_table(
        "pipeline_customized_templates",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("chunk_structure", sa.String(length=255), nullable=False),
        sa.Column("icon", types.Json(), nullable=True),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("yaml_content", types.LongText(), nullable=False),
        sa.Column("install_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("language", sa.String(length=32), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_pipeline_customized_templates_tenant_id_created_at"),
        "pipeline_customized_templates",
        ["tenant_id", "created_at"],
        unique=False,
    )


def pipelines() -> None:
    """Create `pipelines`."""
    create_table(
        "pipelines",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("workflow_id", types.Id(), nullable=True),
        sa.Column("is_public", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_published", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_pipelines_tenant_id"), "pipelines", ["tenant_id"], unique=False)


TABLES = (
    document_pipeline_execution_logs,
    pipeline_customized_templates,
    pipelines,
)
