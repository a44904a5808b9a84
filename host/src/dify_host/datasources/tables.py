"""Tables of the credentials that a workspace reads its data sources with."""

from __future__ import annotations

from dify_host.db.schema import big_integer, flag, index, long_text, ref, string, table, unique

__all__ = ["datasource_providers"]

datasource_providers = table(
    "datasource_providers",
    ref("tenant_id"),
    string("name"),
    string("provider", 128),
    string("plugin_id"),
    string("auth_type", 32, default="api-key"),
    long_text("encrypted_credentials"),
    long_text("avatar_url"),
    flag("is_default"),
    big_integer("expires_at", -1),
    ref("created_by", null=True),
    unique("tenant_id", "plugin_id", "provider", "name"),
    index("tenant_id", "plugin_id", "provider"),
)
