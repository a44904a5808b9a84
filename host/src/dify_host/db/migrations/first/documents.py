"""The first tables of documents and what they are cut into, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def child_chunks() -> None:
    """Create `child_chunks`."""
    create_table(
        "child_chunks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("segment_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("content", types.LongText(), nullable=False),
        sa.Column("word_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("index_node_id", sa.String(length=255), nullable=True),
        sa.Column("index_node_hash", sa.String(length=255), nullable=True),
        sa.Column("type", sa.String(length=255), server_default="automatic", nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("indexing_at", types.Moment(), nullable=True),
        sa.Column("completed_at", types.Moment(), nullable=True),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_child_chunks_document_id"), "child_chunks", ["document_id"], unique=False)
    op.create_index(
        op.f("ix_child_chunks_index_node_id_dataset_id"), "child_chunks", ["index_node_id", "dataset_id"], unique=False
    )
    op.create_index(
        op.f("ix_child_chunks_segment_id_position"), "child_chunks", ["segment_id", "position"], unique=False
    )


def document_questions() -> None:
    """Create `document_questions`."""
    create_table(
        "document_questions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.Column("pairs", types.JsonText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("document_id", "text_hash", name=op.f("uq_document_questions_document_id_text_hash")),
    )
    op.create_index(op.f("ix_document_questions_dataset_id"), "document_questions", ["dataset_id"], unique=False)


def document_segments() -> None:
    """Create `document_segments`."""
    create_table(
        "document_segments",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("content", types.LongText(), nullable=False),
        sa.Column("answer", types.LongText(), nullable=True),
        sa.Column("word_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("keywords", types.Json(), nullable=True),
        sa.Column("index_node_id", sa.String(length=255), nullable=True),
        sa.Column("index_node_hash", sa.String(length=255), nullable=True),
        sa.Column("hit_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("disabled_at", types.Moment(), nullable=True),
        sa.Column("disabled_by", types.Id(), nullable=True),
        sa.Column("status", sa.String(length=255), server_default="waiting", nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("updated_by", types.Id(), nullable=True),
        sa.Column("indexing_at", types.Moment(), nullable=True),
        sa.Column("completed_at", types.Moment(), nullable=True),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("stopped_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_document_segments_dataset_id_status"), "document_segments", ["dataset_id", "status"], unique=False
    )
    op.create_index(
        op.f("ix_document_segments_document_id_position"),
        "document_segments",
        ["document_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_document_segments_index_node_id_dataset_id"),
        "document_segments",
        ["index_node_id", "dataset_id"],
        unique=False,
    )


def documents() -> None:
    """Create `documents`."""
    create_table(
        "documents",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("data_source_type", sa.String(length=255), nullable=False),
        sa.Column("data_source_info", types.JsonText(), nullable=True),
        sa.Column("dataset_process_rule_id", types.Id(), nullable=True),
        sa.Column("batch", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_from", sa.String(length=255), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_api_request_id", types.Id(), nullable=True),
        sa.Column("processing_started_at", types.Moment(), nullable=True),
        sa.Column("file_id", types.Id(), nullable=True),
        sa.Column("word_count", sa.BigInteger(), nullable=True),
        sa.Column("parsing_completed_at", types.Moment(), nullable=True),
        sa.Column("cleaning_completed_at", types.Moment(), nullable=True),
        sa.Column("splitting_completed_at", types.Moment(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("indexing_latency", sa.Double(), nullable=True),
        sa.Column("completed_at", types.Moment(), nullable=True),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("paused_by", types.Id(), nullable=True),
        sa.Column("paused_at", types.Moment(), nullable=True),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("stopped_at", types.Moment(), nullable=True),
        sa.Column("indexing_status", sa.String(length=255), server_default="waiting", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("disabled_at", types.Moment(), nullable=True),
        sa.Column("disabled_by", types.Id(), nullable=True),
        sa.Column("archived", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("archived_reason", sa.String(length=255), nullable=True),
        sa.Column("archived_by", types.Id(), nullable=True),
        sa.Column("archived_at", types.Moment(), nullable=True),
        sa.Column("doc_type", sa.String(length=40), nullable=True),
        sa.Column("doc_metadata", types.Json(), nullable=True),
        sa.Column("doc_form", sa.String(length=255), server_default="text_model", nullable=False),
        sa.Column("doc_language", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_documents_batch"), "documents", ["batch"], unique=False)
    op.create_index(
        op.f("ix_documents_dataset_id_indexing_status"), "documents", ["dataset_id", "indexing_status"], unique=False
    )
    op.create_index(op.f("ix_documents_dataset_id_position"), "documents", ["dataset_id", "position"], unique=False)
    op.create_index(op.f("ix_documents_is_paused"), "documents", ["is_paused"], unique=False)


def embeddings() -> None:
    """Create `embeddings`."""
    create_table(
        "embeddings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("embedding", types.Blob(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "model_name", "hash", "provider_name", name=op.f("uq_embeddings_model_name_hash_provider_name")
        ),
    )
    op.create_index(op.f("ix_embeddings_created_at"), "embeddings", ["created_at"], unique=False)


def segment_attachment_bindings() -> None:
    """Create `segment_attachment_bindings`."""
    create_table(
        "segment_attachment_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=False),
        sa.Column("document_id", types.Id(), nullable=False),
        sa.Column("segment_id", types.Id(), nullable=False),
        sa.Column("attachment_id", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_segment_attachment_bindings_attachment_id"),
        "segment_attachment_bindings",
        ["attachment_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_segment_attachment_bindings_document_id"), "segment_attachment_bindings", ["document_id"], unique=False
    )
    op.create_index(
        op.f("ix_segment_attachment_bindings_segment_id"), "segment_attachment_bindings", ["segment_id"], unique=False
    )


TABLES = (
    child_chunks,
    document_questions,
    document_segments,
    documents,
    embeddings,
    segment_attachment_bindings,
)
