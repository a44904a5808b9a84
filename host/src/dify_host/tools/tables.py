"""Tables of the tools a workspace may use and the credentials it uses them with."""

from __future__ import annotations

from dify_host.db.schema import (
    big_integer,
    flag,
    index,
    json_text,
    long_text,
    real,
    ref,
    string,
    table,
    unique,
)

__all__ = [
    "tool_api_providers",
    "tool_builtin_providers",
    "tool_label_bindings",
    "tool_mcp_providers",
    "tool_workflow_providers",
]

tool_builtin_providers = table(
    "tool_builtin_providers",
    ref("tenant_id"),
    ref("user_id"),
    string("name"),
    string("provider"),
    long_text("encrypted_credentials"),
    flag("is_default"),
    string("credential_type", 32, default="api-key"),
    big_integer("expires_at", -1),
    unique("tenant_id", "provider", "name"),
)

tool_api_providers = table(
    "tool_api_providers",
    ref("tenant_id"),
    ref("user_id"),
    string("name"),
    json_text("icon"),
    long_text("schema", null=False),
    string("schema_type_str", 40),
    long_text("description", null=False),
    json_text("tools_str", null=False),
    long_text("credentials_str", null=False),
    string("privacy_policy", null=True),
    long_text("custom_disclaimer"),
    unique("name", "tenant_id"),
    index("tenant_id"),
)

tool_workflow_providers = table(
    "tool_workflow_providers",
    ref("tenant_id"),
    ref("user_id"),
    ref("app_id"),
    string("name"),
    string("label"),
    json_text("icon"),
    string("version", default=""),
    long_text("description", null=False),
    json_text("parameter_configuration"),
    string("privacy_policy", null=True),
    unique("name", "tenant_id"),
    unique("tenant_id", "app_id"),
)

tool_mcp_providers = table(
    "tool_mcp_providers",
    ref("tenant_id"),
    ref("user_id"),
    string("name", 40),
    string("server_identifier", 64),
    long_text("server_url", null=False),
    string("server_url_hash", 64),
    json_text("icon"),
    long_text("encrypted_credentials"),
    flag("authed"),
    json_text("tools"),
    real("timeout", 30),
    real("sse_read_timeout", 300),
    long_text("encrypted_headers"),
    unique("tenant_id", "server_url_hash"),
    unique("tenant_id", "name"),
    unique("tenant_id", "server_identifier"),
)

tool_label_bindings = table(
    "tool_label_bindings",
    string("tool_id", 64),
    string("tool_type", 40),
    string("label_name", 40),
    unique("tool_id", "label_name"),
    updated=False,
)
