"""The first tables of accounts, workspaces, members, end users and keys, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def account_integrates() -> None:
    """Create `account_integrates`."""
    create_table(
        "account_integrates",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("open_id", sa.String(length=255), nullable=False),
        sa.Column("encrypted_token", sa.String(length=255), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "provider", name=op.f("uq_account_integrates_account_id_provider")),
        sa.UniqueConstraint("provider", "open_id", name=op.f("uq_account_integrates_provider_open_id")),
    )


def accounts() -> None:
    """Create `accounts`."""
    create_table(
        "accounts",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=True),
        sa.Column("password_salt", sa.String(length=255), nullable=True),
        sa.Column("avatar", sa.String(length=255), nullable=True),
        sa.Column("interface_language", sa.String(length=255), nullable=True),
        sa.Column("interface_theme", sa.String(length=255), nullable=True),
        sa.Column("timezone", sa.String(length=255), nullable=True),
        sa.Column("last_login_at", types.Moment(), nullable=True),
        sa.Column("last_login_ip", sa.String(length=255), nullable=True),
        sa.Column("last_active_at", types.Moment(), nullable=True),
        sa.Column("status", sa.String(length=16), server_default="active", nullable=False),
        sa.Column("initialized_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
    )


def api_tokens() -> None:
    """Create `api_tokens`."""
    create_table(
        "api_tokens",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=True),
        sa.Column("dataset_id", types.Id(), nullable=True),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("token_hint", sa.String(length=4), nullable=False),
        sa.Column("last_used_at", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token", name=op.f("uq_api_tokens_token")),
    )
    op.create_index(op.f("ix_api_tokens_app_id_type"), "api_tokens", ["app_id", "type"], unique=False)
    op.create_index(op.f("ix_api_tokens_dataset_id"), "api_tokens", ["dataset_id"], unique=False)
    op.create_index(op.f("ix_api_tokens_tenant_id_type"), "api_tokens", ["tenant_id", "type"], unique=False)


def dify_setups() -> None:
    """Create `dify_setups`."""
    create_table(
        "dify_setups",
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("setup_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def end_users() -> None:
    """Create `end_users`."""
    create_table(
        "end_users",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=True),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("external_user_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("is_anonymous", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_end_users_app_id_type_session_id"), "end_users", ["app_id", "type", "session_id"], unique=False
    )
    op.create_index(op.f("ix_end_users_session_id_type"), "end_users", ["session_id", "type"], unique=False)
    op.create_index(
        op.f("ix_end_users_tenant_id_session_id_type"), "end_users", ["tenant_id", "session_id", "type"], unique=False
    )


def operation_logs() -> None:
    """Create `operation_logs`."""
    create_table(
        "operation_logs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("action", sa.String(length=255), nullable=False),
        sa.Column("content", types.Json(), nullable=True),
        sa.Column("created_ip", sa.String(length=255), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_operation_logs_created_at"), "operation_logs", ["created_at"], unique=False)
    op.create_index(
        op.f("ix_operation_logs_tenant_id_account_id_action"),
        "operation_logs",
        ["tenant_id", "account_id", "action"],
        unique=False,
    )


def tenant_account_joins() -> None:
    """Create `tenant_account_joins`."""
    create_table(
        "tenant_account_joins",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("current", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("role", sa.String(length=16), server_default="normal", nullable=False),
        sa.Column("invited_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "account_id", name=op.f("uq_tenant_account_joins_tenant_id_account_id")),
    )
    op.create_index(op.f("ix_tenant_account_joins_account_id"), "tenant_account_joins", ["account_id"], unique=False)


def tenant_keys() -> None:
    """Create `tenant_keys`."""
    create_table(
        "tenant_keys",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("wrapped_key", types.LongText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_tenant_keys_tenant_id")),
    )


def tenants() -> None:
    """Create `tenants`."""
    create_table(
        "tenants",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("encrypt_public_key", types.LongText(), nullable=True),
        sa.Column("plan", sa.String(length=255), server_default="basic", nullable=False),
        sa.Column("status", sa.String(length=255), server_default="normal", nullable=False),
        sa.Column("custom_config", types.JsonText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


TABLES = (
    account_integrates,
    accounts,
    api_tokens,
    dify_setups,
    end_users,
    operation_logs,
    tenant_account_joins,
    tenant_keys,
    tenants,
)
