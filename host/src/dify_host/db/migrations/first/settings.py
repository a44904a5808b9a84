"""The first tables of files, models, tools and data sources, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table


def tool_files() -> None:
    """Create `tool_files`."""
    create_table(
        "tool_files",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("conversation_id", types.Id(), nullable=True),
        sa.Column("file_key", sa.String(length=255), nullable=False),
        sa.Column("mimetype", sa.String(length=255), nullable=False),
        sa.Column("original_url", types.LongText(), nullable=True),
        sa.Column("name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("(-1)"), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_tool_files_conversation_id"), "tool_files", ["conversation_id"], unique=False)
    op.create_index(op.f("ix_tool_files_tenant_id_created_at"), "tool_files", ["tenant_id", "created_at"], unique=False)


def upload_files() -> None:
    """Create `upload_files`."""
    create_table(
        "upload_files",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("storage_type", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("extension", sa.String(length=255), nullable=False),
        sa.Column("mime_type", sa.String(length=255), nullable=True),
        sa.Column("created_by_role", sa.String(length=16), server_default="account", nullable=False),
        sa.Column("created_by", types.Id(), nullable=False),
        sa.Column("used", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("used_by", types.Id(), nullable=True),
        sa.Column("used_at", types.Moment(), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.Column("source_url", types.LongText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_upload_files_key"), "upload_files", ["key"], unique=False)
    op.create_index(
        op.f("ix_upload_files_tenant_id_created_at"), "upload_files", ["tenant_id", "created_at"], unique=False
    )
    op.create_index(op.f("ix_upload_files_tenant_id_hash"), "upload_files", ["tenant_id", "hash"], unique=False)


def load_balancing_model_configs() -> None:
    """Create `load_balancing_model_configs`."""
    create_table(
        "load_balancing_model_configs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("model_type", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("encrypted_config", types.LongText(), nullable=True),
        sa.Column("credential_id", types.Id(), nullable=True),
        sa.Column("credential_source_type", sa.String(length=40), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_load_balancing_model_configs_tenant_id_provider_0044ddf6"),
        "load_balancing_model_configs",
        ["tenant_id", "provider_name", "model_type"],
        unique=False,
    )


def provider_credentials() -> None:
    """Create `provider_credentials`."""
    create_table(
        "provider_credentials",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("credential_name", sa.String(length=255), nullable=False),
        sa.Column("encrypted_config", types.LongText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id",
            "provider_name",
            "credential_name",
            name=op.f("uq_provider_credentials_tenant_id_provider_name_cr_19a9a1f9"),
        ),
    )


def provider_model_credentials() -> None:
    """Create `provider_model_credentials`."""
    create_table(
        "provider_model_credentials",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("model_type", sa.String(length=40), nullable=False),
        sa.Column("credential_name", sa.String(length=255), nullable=False),
        sa.Column("encrypted_config", types.LongText(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_provider_model_credentials_tenant_id_provider_n_6b7f97b6"),
        "provider_model_credentials",
        ["tenant_id", "provider_name", "model_name", "model_type"],
        unique=False,
    )


def provider_model_settings() -> None:
    """Create `provider_model_settings`."""
    create_table(
        "provider_model_settings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("model_type", sa.String(length=40), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("load_balancing_enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id",
            "provider_name",
            "model_name",
            "model_type",
            name=op.f("uq_provider_model_settings_tenant_id_provider_name_bee219d8"),
        ),
    )


def provider_models() -> None:
    """Create `provider_models`."""
    create_table(
        "provider_models",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("model_type", sa.String(length=40), nullable=False),
        sa.Column("credential_id", types.Id(), nullable=True),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id",
            "provider_name",
            "model_name",
            "model_type",
            name=op.f("uq_provider_models_tenant_id_provider_name_model_n_feae2c98"),
        ),
    )


def providers() -> None:
    """Create `providers`."""
    create_table(
        "providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("provider_type", sa.String(length=40), server_default="custom", nullable=False),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_used", types.Moment(), nullable=True),
        sa.Column("credential_id", types.Id(), nullable=True),
        sa.Column("quota_type", sa.String(length=40), server_default="", nullable=False),
        sa.Column("quota_limit", sa.BigInteger(), nullable=True),
        sa.Column("quota_used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id",
            "provider_name",
            "provider_type",
            "quota_type",
            name=op.f("uq_providers_tenant_id_provider_name_provider_type_73404d3a"),
        ),
    )


def tenant_default_models() -> None:
    """Create `tenant_default_models`."""
    create_table(
        "tenant_default_models",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("model_type", sa.String(length=40), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "model_type", name=op.f("uq_tenant_default_models_tenant_id_model_type")),
    )


def tenant_preferred_model_providers() -> None:
    """Create `tenant_preferred_model_providers`."""
    create_table(
        "tenant_preferred_model_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("preferred_provider_type", sa.String(length=40), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id", "provider_name", name=op.f("uq_tenant_preferred_model_providers_tenant_id_provider_name")
        ),
    )


def tool_api_providers() -> None:
    """Create `tool_api_providers`."""
    create_table(
        "tool_api_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("icon", types.JsonText(), nullable=True),
        sa.Column("schema", types.LongText(), nullable=False),
        sa.Column("schema_type_str", sa.String(length=40), nullable=False),
        sa.Column("description", types.LongText(), nullable=False),
        sa.Column("tools_str", types.JsonText(), nullable=False),
        sa.Column("credentials_str", types.LongText(), nullable=False),
        sa.Column("privacy_policy", sa.String(length=255), nullable=True),
        sa.Column("custom_disclaimer", types.LongText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "tenant_id", name=op.f("uq_tool_api_providers_name_tenant_id")),
    )
    op.create_index(op.f("ix_tool_api_providers_tenant_id"), "tool_api_providers", ["tenant_id"], unique=False)


def tool_builtin_providers() -> None:
    """Create `tool_builtin_providers`."""
    create_table(
        "tool_builtin_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=255), nullable=False),
        sa.Column("encrypted_credentials", types.LongText(), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("credential_type", sa.String(length=32), server_default="api-key", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), server_default=sa.text("(-1)"), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id", "provider", "name", name=op.f("uq_tool_builtin_providers_tenant_id_provider_name")
        ),
    )


def tool_label_bindings() -> None:
    """Create `tool_label_bindings`."""
    create_table(
        "tool_label_bindings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tool_id", sa.String(length=64), nullable=False),
        sa.Column("tool_type", sa.String(length=40), nullable=False),
        sa.Column("label_name", sa.String(length=40), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tool_id", "label_name", name=op.f("uq_tool_label_bindings_tool_id_label_name")),
    )


def tool_mcp_providers() -> None:
    """Create `tool_mcp_providers`."""
    create_table(
        "tool_mcp_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("server_identifier", sa.String(length=64), nullable=False),
        sa.Column("server_url", types.LongText(), nullable=False),
        sa.Column("server_url_hash", sa.String(length=64), nullable=False),
        sa.Column("icon", types.JsonText(), nullable=True),
        sa.Column("encrypted_credentials", types.LongText(), nullable=True),
        sa.Column("authed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("tools", types.JsonText(), nullable=True),
        sa.Column("timeout", sa.Double(), server_default=sa.text("(30)"), nullable=False),
        sa.Column("sse_read_timeout", sa.Double(), server_default=sa.text("(300)"), nullable=False),
        sa.Column("encrypted_headers", types.LongText(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_tool_mcp_providers_tenant_id_name")),
        sa.UniqueConstraint(
            "tenant_id", "server_identifier", name=op.f("uq_tool_mcp_providers_tenant_id_server_identifier")
        ),
        sa.UniqueConstraint(
            "tenant_id", "server_url_hash", name=op.f("uq_tool_mcp_providers_tenant_id_server_url_hash")
        ),
    )


def tool_workflow_providers() -> None:
    """Create `tool_workflow_providers`."""
    create_table(
        "tool_workflow_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("icon", types.JsonText(), nullable=True),
        sa.Column("version", sa.String(length=255), server_default="", nullable=False),
        sa.Column("description", types.LongText(), nullable=False),
        sa.Column("parameter_configuration", types.JsonText(), nullable=True),
        sa.Column("privacy_policy", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "tenant_id", name=op.f("uq_tool_workflow_providers_name_tenant_id")),
        sa.UniqueConstraint("tenant_id", "app_id", name=op.f("uq_tool_workflow_providers_tenant_id_app_id")),
    )


def datasource_providers() -> None:
    """Create `datasource_providers`."""
    create_table(
        "datasource_providers",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.Column("plugin_id", sa.String(length=255), nullable=False),
        sa.Column("auth_type", sa.String(length=32), server_default="api-key", nullable=False),
        sa.Column("encrypted_credentials", types.LongText(), nullable=True),
        sa.Column("avatar_url", types.LongText(), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), server_default=sa.text("(-1)"), nullable=False),
        sa.Column("created_by", types.Id(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "tenant_id",
            "plugin_id",
            "provider",
            "name",
            name=op.f("uq_datasource_providers_tenant_id_plugin_id_provider_name"),
        ),
    )
    op.create_index(
        op.f("ix_datasource_providers_tenant_id_plugin_id_provider"),
        "datasource_providers",
        ["tenant_id", "plugin_id", "provider"],
        unique=False,
    )


TABLES = (
    tool_files,
    upload_files,
    load_balancing_model_configs,
    provider_credentials,
    provider_model_credentials,
    provider_model_settings,
    provider_models,
    providers,
    tenant_default_models,
    tenant_preferred_model_providers,
    tool_api_providers,
    tool_builtin_providers,
    tool_label_bindings,
    tool_mcp_providers,
    tool_workflow_providers,
    datasource_providers,
)
