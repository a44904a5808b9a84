"""The first tables of conversations and messages, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def app_annotation_hit_histories() -> None:
    """Create `app_annotation_hit_histories`."""
    create_table(
        "app_annotation_hit_histories",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("annotation_id", types.Id(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("question", types.LongText(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("score", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("annotation_question", types.LongText(), nullable=True),
        sa.Column("annotation_content", types.LongText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_app_annotation_hit_histories_annotation_id_created_at"),
        "app_annotation_hit_histories",
        ["annotation_id", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_app_annotation_hit_histories_app_id"), "app_annotation_hit_histories", ["app_id"], unique=False
    )
    op.create_index(
        op.f("ix_app_annotation_hit_histories_message_id"), "app_annotation_hit_histories", ["message_id"], unique=False
    )


def conversations() -> None:
    """Create `conversations`."""
    create_table(
        "conversations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("app_model_config_id", types.Id(), nullable=True),
        sa.Column("model_provider", sa.String(length=255), nullable=True),
        sa.Column("override_model_configs", types.JsonText(), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("mode", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("summary", types.LongText(), nullable=True),
        sa.Column("inputs", types.JsonText(), nullable=True),
        sa.Column("introduction", types.LongText(), nullable=True),
        sa.Column("system_instruction", types.LongText(), nullable=True),
        sa.Column("system_instruction_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("invoke_from", sa.String(length=255), nullable=True),
        sa.Column("from_source", sa.String(length=255), nullable=False),
        sa.Column("from_end_user_id", types.Id(), nullable=True),
        sa.Column("from_account_id", types.Id(), nullable=True),
        sa.Column("read_at", types.Moment(), nullable=True),
        sa.Column("read_account_id", types.Id(), nullable=True),
        sa.Column("dialogue_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_conversations_app_id_from_source_from_account_id"),
        "conversations",
        ["app_id", "from_source", "from_account_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_conversations_app_id_from_source_from_end_user_id"),
        "conversations",
        ["app_id", "from_source", "from_end_user_id"],
        unique=False,
    )
    op.create_index(op.f("ix_conversations_app_id_updated_at"), "conversations", ["app_id", "updated_at"], unique=False)


def dataset_retriever_resources() -> None:
    """Create `dataset_retriever_resources`."""
    create_table(
        "dataset_retriever_resources",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dataset_id", types.Id(), nullable=True),
        sa.Column("dataset_name", types.LongText(), nullable=True),
        sa.Column("document_id", types.Id(), nullable=True),
        sa.Column("document_name", types.LongText(), nullable=True),
        sa.Column("data_source_type", sa.String(length=255), nullable=True),
        sa.Column("segment_id", types.Id(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("content", types.LongText(), nullable=False),
        sa.Column("hit_count", sa.Integer(), nullable=True),
        sa.Column("word_count", sa.Integer(), nullable=True),
        sa.Column("segment_position", sa.Integer(), nullable=True),
        sa.Column("index_node_hash", sa.String(length=255), nullable=True),
        sa.Column("retriever_from", sa.String(length=32), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_dataset_retriever_resources_message_id_position"),
        "dataset_retriever_resources",
        ["message_id", "position"],
        unique=False,
    )


def message_agent_thoughts() -> None:
    """Create `message_agent_thoughts`."""
    create_table(
        "message_agent_thoughts",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("message_chain_id", types.Id(), nullable=True),
        sa.Column("thought", types.LongText(), nullable=True),
        sa.Column("tool", types.LongText(), nullable=True),
        sa.Column("tool_labels_str", types.JsonText(), nullable=True),
        sa.Column("tool_meta_str", types.JsonText(), nullable=True),
        sa.Column("tool_input", types.LongText(), nullable=True),
        sa.Column("observation", types.LongText(), nullable=True),
        sa.Column("tool_process_data", types.LongText(), nullable=True),
        sa.Column("message", types.LongText(), nullable=True),
        sa.Column("message_token", sa.Integer(), nullable=True),
        sa.Column("message_unit_price", types.Price(), nullable=True),
        sa.Column("message_price_unit", types.Price(), nullable=True),
        sa.Column("message_files", types.JsonText(), nullable=True),
        sa.Column("answer", types.LongText(), nullable=True),
        sa.Column("answer_token", sa.Integer(), nullable=True),
        sa.Column("answer_unit_price", types.Price(), nullable=True),
        sa.Column("answer_price_unit", types.Price(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("total_price", types.Price(), nullable=True),
        sa.Column("currency", sa.String(length=255), nullable=True),
        sa.Column("latency", sa.Double(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_message_agent_thoughts_message_id_position"),
        "message_agent_thoughts",
        ["message_id", "position"],
        unique=False,
    )


def message_annotations() -> None:
    """Create `message_annotations`."""
    create_table(
        "message_annotations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("conversation_id", types.Id(), nullable=True),
        sa.Column("message_id", types.Id(), nullable=True),
        sa.Column("question", types.LongText(), nullable=True),
        sa.Column("content", types.LongText(), nullable=False),
        sa.Column("hit_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_message_annotations_app_id_created_at"), "message_annotations", ["app_id", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_message_annotations_conversation_id"), "message_annotations", ["conversation_id"], unique=False
    )
    op.create_index(op.f("ix_message_annotations_message_id"), "message_annotations", ["message_id"], unique=False)


def message_feedbacks() -> None:
    """Create `message_feedbacks`."""
    create_table(
        "message_feedbacks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("conversation_id", types.Id(), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("rating", sa.String(length=16), nullable=False),
        sa.Column("content", types.LongText(), nullable=True),
        sa.Column("from_source", sa.String(length=16), nullable=False),
        sa.Column("from_end_user_id", types.Id(), nullable=True),
        sa.Column("from_account_id", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_message_feedbacks_app_id_created_at"), "message_feedbacks", ["app_id", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_message_feedbacks_conversation_id_from_source_rating"),
        "message_feedbacks",
        ["conversation_id", "from_source", "rating"],
        unique=False,
    )
    op.create_index(
        op.f("ix_message_feedbacks_message_id_from_source"),
        "message_feedbacks",
        ["message_id", "from_source"],
        unique=False,
    )


def message_files() -> None:
    """Create `message_files`."""
    create_table(
        "message_files",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("transfer_method", sa.String(length=255), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("belongs_to", sa.String(length=255), nullable=True),
        sa.Column("url", types.LongText(), nullable=True),
        sa.Column("upload_file_id", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_message_files_created_by"), "message_files", ["created_by"], unique=False)
    op.create_index(op.f("ix_message_files_message_id"), "message_files", ["message_id"], unique=False)
    op.create_index(op.f("ix_message_files_upload_file_id"), "message_files", ["upload_file_id"], unique=False)


def messages() -> None:
    """Create `messages`."""
    create_table(
        "messages",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("model_provider", sa.String(length=255), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("override_model_configs", types.JsonText(), nullable=True),
        sa.Column("conversation_id", types.Id(), nullable=False),
        sa.Column("inputs", types.JsonText(), nullable=True),
        sa.Column("query", types.LongText(), nullable=False),
        sa.Column("message", types.JsonText(), nullable=True),
        sa.Column("message_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_unit_price", types.Price(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_price_unit", types.Price(), server_default=sa.text("0"), nullable=False),
        sa.Column("answer", types.LongText(), nullable=False),
        sa.Column("answer_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("answer_unit_price", types.Price(), server_default=sa.text("0"), nullable=False),
        sa.Column("answer_price_unit", types.Price(), server_default=sa.text("0"), nullable=False),
        sa.Column("parent_message_id", types.Id(), nullable=True),
        sa.Column("provider_response_latency", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_price", types.Price(), nullable=True),
        sa.Column("currency", sa.String(length=255), server_default="USD", nullable=False),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("error", types.LongText(), nullable=True),
        sa.Column("message_metadata", types.JsonText(), nullable=True),
        sa.Column("invoke_from", sa.String(length=255), nullable=True),
        sa.Column("from_source", sa.String(length=255), nullable=False),
        sa.Column("from_end_user_id", types.Id(), nullable=True),
        sa.Column("from_account_id", types.Id(), nullable=True),
        sa.Column("agent_based", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("workflow_run_id", types.Id(), nullable=True),
        sa.Column("app_mode", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_messages_app_id_created_at"), "messages", ["app_id", "created_at"], unique=False)
    op.create_index(
        op.f("ix_messages_app_id_from_source_from_account_id"),
        "messages",
        ["app_id", "from_source", "from_account_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_app_id_from_source_from_end_user_id"),
        "messages",
        ["app_id", "from_source", "from_end_user_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_conversation_id_created_at"), "messages", ["conversation_id", "created_at"], unique=False
    )
    op.create_index(op.f("ix_messages_created_at_id"), "messages", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_messages_workflow_run_id_conversation_id"),
        "messages",
        ["workflow_run_id", "conversation_id"],
        unique=False,
    )


def pinned_conversations() -> None:
    """Create `pinned_conversations`."""
    create_table(
        "pinned_conversations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("conversation_id", types.Id(), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "app_id",
            "conversation_id",
            "created_by_role",
            "created_by",
            name=op.f("uq_pinned_conversations_app_id_conversation_id_cre_ff655822"),
        ),
    )


def saved_messages() -> None:
    """Create `saved_messages`."""
    create_table(
        "saved_messages",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("message_id", types.Id(), nullable=False),
        sa.Column("created_by_role", sa.String(length=16), nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "app_id",
            "message_id",
            "created_by_role",
            "created_by",
            name=op.f("uq_saved_messages_app_id_message_id_created_by_rol_a5d14bc8"),
        ),
    )


TABLES = (
    app_annotation_hit_histories,
    conversations,
    dataset_retriever_resources,
    message_agent_thoughts,
    message_annotations,
    message_feedbacks,
    message_files,
    messages,
    pinned_conversations,
    saved_messages,
)
