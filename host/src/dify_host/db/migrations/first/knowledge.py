"""The first tables of knowledge bases, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def dataset_collection_bindings() -> None:
    """Create `dataset_collection_bindings`."""
    create_table(
        "dataset_collection_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=40), server_default="dataset", nullable=False),
        sa.Column("collection_name", sa.String(length=64), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_dataset_collection_bindings_provider_name_model_name"),
        "dataset_collection_bindings",
        ["provider_name", "model_name"],
        unique=False,
    )


def dataset_imports() -> None:
    """Create `dataset_imports`."""
    create_table(
        "dataset_imports",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset", types.JsonText(), nullable=False),
        sa.Column("files", types.JsonText(), nullable=False),
        sa.Column("token", types.Id(), nullable=False),
        sa.Column("looked_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_dataset_imports_looked_at"), "dataset_imports", ["looked_at"], unique=False)


def dataset_keyword_tables() -> None:
    """Create `dataset_keyword_tables`."""
    create_table(
        "dataset_keyword_tables",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("keyword_table", types.LongText(), nullable=False),
        sa.Column("data_source_type", sa.String(length=255), server_default="database", nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", name=op.f("uq_dataset_keyword_tables_dataset_id")),
    )


def dataset_keywords() -> None:
    """Create `dataset_keywords`."""
    create_table(
        "dataset_keywords",
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("keyword", sa.String(length=64), nullable=False),
        sa.Column("segment_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "keyword", "segment_id"),
    )
    op.create_index(op.f("ix_dataset_keywords_document_id"), "dataset_keywords", ["document_id"], unique=False)
    op.create_index(op.f("ix_dataset_keywords_segment_id"), "dataset_keywords", ["segment_id"], unique=False)


def dataset_metadata_bindings() -> None:
    """Create `dataset_metadata_bindings`."""
    create_table(
        "dataset_metadata_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("metadata_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "metadata_id", "document_id", name=op.f("uq_dataset_metadata_bindings_metadata_id_document_id")
        ),
    )
    op.create_index(
        op.f("ix_dataset_metadata_bindings_dataset_id"), "dataset_metadata_bindings", ["dataset_id"], unique=False
    )
    op.create_index(
        op.f("ix_dataset_metadata_bindings_document_id"), "dataset_metadata_bindings", ["document_id"], unique=False
    )
    op.create_index(
        op.f("ix_dataset_metadata_bindings_tenant_id"), "dataset_metadata_bindings", ["tenant_id"], unique=False
    )


def dataset_metadatas() -> None:
    """Create `dataset_metadatas`."""
    create_table(
        "dataset_metadatas",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", "name", name=op.f("uq_dataset_metadatas_dataset_id_name")),
    )
    op.create_index(op.f("ix_dataset_metadatas_tenant_id"), "dataset_metadatas", ["tenant_id"], unique=False)


def dataset_permissions() -> None:
    """Create `dataset_permissions`."""
    create_table(
        "dataset_permissions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("has_permission", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", "account_id", name=op.f("uq_dataset_permissions_dataset_id_account_id")),
    )
    op.create_index(op.f("ix_dataset_permissions_account_id"), "dataset_permissions", ["account_id"], unique=False)
    op.create_index(op.f("ix_dataset_permissions_tenant_id"), "dataset_permissions", ["tenant_id"], unique=False)


def dataset_process_rules() -> None:
    """Create `dataset_process_rules`."""
    create_table(
        "dataset_process_rules",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("mode", sa.String(length=255), server_default="automatic", nullable=False),
        sa.Column("rules", types.JsonText(), nullable=True),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_dataset_process_rules_dataset_id_created_at"),
        "dataset_process_rules",
        ["dataset_id", "created_at"],
        unique=False,
    )


def dataset_queries() -> None:
    """Create `dataset_queries`."""
    create_table(
        "dataset_queries",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("content", types.LongText(), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("source_app_id", types.Id(), nullable=True),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_dataset_queries_created_at"), "dataset_queries", ["created_at"], unique=False)
    op.create_index(
        op.f("ix_dataset_queries_dataset_id_created_at"), "dataset_queries", ["dataset_id", "created_at"], unique=False
    )


def datasets() -> None:
    """Create `datasets`."""
    create_table(
        "datasets",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("provider", sa.String(length=255), server_default="vendor", nullable=False),
        sa.Column("permission", sa.String(length=255), server_default="only_me", nullable=False),
        sa.Column("data_source_type", sa.String(length=255), nullable=True),
        sa.Column("indexing_technique", sa.String(length=255), nullable=True),
        sa.Column("index_struct", types.JsonText(), nullable=True),
        sa.Column("embedding_model", sa.String(length=255), nullable=True),
        sa.Column("embedding_model_provider", sa.String(length=255), nullable=True),
        sa.Column("keyword_number", sa.Integer(), server_default=sa.text("(10)"), nullable=False),
        sa.Column("collection_binding_id", types.Id(), nullable=True),
        sa.Column("retrieval_model", types.Json(), nullable=True),
        sa.Column("built_in_field_enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("icon_info", types.Json(), nullable=True),
        sa.Column("runtime_mode", sa.String(length=255), server_default="general", nullable=False),
        sa.Column("pipeline_id", types.Id(), nullable=True),
        sa.Column("chunk_structure", sa.String(length=255), nullable=True),
        sa.Column("enable_api", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_multimodal", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_datasets_tenant_id_created_at"), "datasets", ["tenant_id", "created_at"], unique=False)


def external_knowledge_apis() -> None:
    """Create `external_knowledge_apis`."""
    create_table(
        "external_knowledge_apis",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", types.LongText(), nullable=False),
        sa.Column("settings", types.LongText(), nullable=True),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_external_knowledge_apis_name"), "external_knowledge_apis", ["name"], unique=False)
    op.create_index(
        op.f("ix_external_knowledge_apis_tenant_id"), "external_knowledge_apis", ["tenant_id"], unique=False
    )


def external_knowledge_bindings() -> None:
    """Create `external_knowledge_bindings`."""
    create_table(
        "external_knowledge_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("external_knowledge_api_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("external_knowledge_id", sa.String(length=255), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", name=op.f("uq_external_knowledge_bindings_dataset_id")),
    )
    op.create_index(
        op.f("ix_external_knowledge_bindings_external_knowledge_api_id"),
        "external_knowledge_bindings",
        ["external_knowledge_api_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_external_knowledge_bindings_external_knowledge_id"),
        "external_knowledge_bindings",
        ["external_knowledge_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_external_knowledge_bindings_tenant_id"), "external_knowledge_bindings", ["tenant_id"], unique=False
    )


def knowledge_tasks() -> None:
    """Create `knowledge_tasks`."""
    create_table(
        "knowledge_tasks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("target_id", types.Id(), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("payload", types.JsonText(), nullable=True),
        sa.Column("requested", types.Id(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("taken_at", types.Moment(), nullable=True),
        sa.Column("note", types.LongText(), nullable=True),
        sa.Column("error", types.LongText(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("purpose", "target_id", name=op.f("uq_knowledge_tasks_purpose_target_id")),
    )
    op.create_index(
        op.f("ix_knowledge_tasks_dataset_id_purpose"), "knowledge_tasks", ["dataset_id", "purpose"], unique=False
    )
    op.create_index(op.f("ix_knowledge_tasks_tenant_id_id"), "knowledge_tasks", ["tenant_id", "id"], unique=False)


def knowledge_turns() -> None:
    """Create `knowledge_turns`."""
    create_table(
        "knowledge_turns",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("looked_at", types.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "slot"),
    )
    op.create_index(
        op.f("ix_knowledge_turns_active_looked_at"), "knowledge_turns", ["active", "looked_at"], unique=False
    )


TABLES = (
    dataset_collection_bindings,
    dataset_imports,
    dataset_keyword_tables,
    dataset_keywords,
    dataset_metadata_bindings,
    dataset_metadatas,
    dataset_permissions,
    dataset_process_rules,
    dataset_queries,
    datasets,
    external_knowledge_apis,
    external_knowledge_bindings,
    knowledge_tasks,
    knowledge_turns,
)
