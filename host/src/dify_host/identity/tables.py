"""Tables of accounts, workspaces, members, end users and API keys."""

from __future__ import annotations

from dify_host.db.schema import (
    bare_table,
    flag,
    index,
    json,
    json_text,
    long_text,
    moment,
    ref,
    string,
    table,
    unique,
)

__all__ = [
    "account_integrates",
    "accounts",
    "api_tokens",
    "dify_setups",
    "end_users",
    "operation_logs",
    "tenant_account_joins",
    "tenant_keys",
    "tenants",
]

accounts = table(
    "accounts",
    string("name"),
    string("email"),
    string("password", null=True),
    string("password_salt", null=True),
    string("avatar", null=True),
    string("interface_language", null=True),
    string("interface_theme", null=True),
    string("timezone", null=True),
    moment("last_login_at"),
    string("last_login_ip", null=True),
    moment("last_active_at"),
    string("status", 16, default="active"),
    moment("initialized_at"),
    unique("email"),
)

tenants = table(
    "tenants",
    string("name"),
    long_text("encrypt_public_key"),
    string("plan", default="basic"),
    string("status", default="normal"),
    json_text("custom_config"),
)

# The key that encrypts a workspace's secrets, itself encrypted with the deployment's key.
tenant_keys = table(
    "tenant_keys",
    ref("tenant_id"),
    long_text("wrapped_key", null=False),
    unique("tenant_id"),
)

tenant_account_joins = table(
    "tenant_account_joins",
    ref("tenant_id"),
    ref("account_id"),
    flag("current"),
    string("role", 16, default="normal"),
    ref("invited_by", null=True),
    index("account_id"),
    unique("tenant_id", "account_id"),
)

account_integrates = table(
    "account_integrates",
    ref("account_id"),
    string("provider", 64),
    string("open_id"),
    string("encrypted_token"),
    unique("account_id", "provider"),
    unique("provider", "open_id"),
)

# One row, whose fixed key makes a second set-up impossible.
dify_setups = bare_table("dify_setups", string("version", primary_key=True), moment("setup_at", null=False))

# `token` is the SHA-256 of the key in hex; `token_hint` its last four characters, for the list.
api_tokens = table(
    "api_tokens",
    ref("tenant_id"),
    ref("app_id", null=True),
    ref("dataset_id", null=True),
    string("type", 16),
    string("token", 64),
    string("token_hint", 4),
    moment("last_used_at"),
    unique("token"),
    index("app_id", "type"),
    index("dataset_id"),
    index("tenant_id", "type"),
    updated=False,
)

end_users = table(
    "end_users",
    ref("tenant_id"),
    ref("app_id", null=True),
    string("type"),
    string("external_user_id", null=True),
    string("name", null=True),
    flag("is_anonymous", True),
    string("session_id"),
    index("session_id", "type"),
    index("tenant_id", "session_id", "type"),
    index("app_id", "type", "session_id"),
)

operation_logs = table(
    "operation_logs",
    ref("tenant_id"),
    ref("account_id"),
    string("action"),
    json("content"),
    string("created_ip"),
    index("tenant_id", "account_id", "action"),
    index("created_at"),
)
