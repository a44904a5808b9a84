"""Tables of the models a workspace may use and the credentials it uses them with."""

from __future__ import annotations

from dify_host.db.schema import big_integer, flag, index, long_text, moment, ref, string, table, unique

__all__ = [
    "load_balancing_model_configs",
    "provider_credentials",
    "provider_model_credentials",
    "provider_model_settings",
    "provider_models",
    "providers",
    "tenant_default_models",
    "tenant_preferred_model_providers",
]

providers = table(
    "providers",
    ref("tenant_id"),
    string("provider_name"),
    string("provider_type", 40, default="custom"),
    flag("is_valid"),
    moment("last_used"),
    ref("credential_id", null=True),
    string("quota_type", 40, default=""),
    big_integer("quota_limit", null=True),
    big_integer("quota_used"),
    unique("tenant_id", "provider_name", "provider_type", "quota_type"),
)

provider_credentials = table(
    "provider_credentials",
    ref("tenant_id"),
    string("provider_name"),
    string("credential_name"),
    long_text("encrypted_config", null=False),
    unique("tenant_id", "provider_name", "credential_name"),
)

provider_models = table(
    "provider_models",
    ref("tenant_id"),
    string("provider_name"),
    string("model_name"),
    string("model_type", 40),
    ref("credential_id", null=True),
    flag("is_valid"),
    unique("tenant_id", "provider_name", "model_name", "model_type"),
)

provider_model_credentials = table(
    "provider_model_credentials",
    ref("tenant_id"),
    string("provider_name"),
    string("model_name"),
    string("model_type", 40),
    string("credential_name"),
    long_text("encrypted_config", null=False),
    index("tenant_id", "provider_name", "model_name", "model_type"),
)

provider_model_settings = table(
    "provider_model_settings",
    ref("tenant_id"),
    string("provider_name"),
    string("model_name"),
    string("model_type", 40),
    flag("enabled", True),
    flag("load_balancing_enabled"),
    unique("tenant_id", "provider_name", "model_name", "model_type"),
)

tenant_default_models = table(
    "tenant_default_models",
    ref("tenant_id"),
    string("provider_name"),
    string("model_name"),
    string("model_type", 40),
    unique("tenant_id", "model_type"),
)

tenant_preferred_model_providers = table(
    "tenant_preferred_model_providers",
    ref("tenant_id"),
    string("provider_name"),
    string("preferred_provider_type", 40),
    unique("tenant_id", "provider_name"),
)

load_balancing_model_configs = table(
    "load_balancing_model_configs",
    ref("tenant_id"),
    string("provider_name"),
    string("model_name"),
    string("model_type", 40),
    string("name"),
    long_text("encrypted_config"),
    ref("credential_id", null=True),
    string("credential_source_type", 40, null=True),
    flag("enabled", True),
    index("tenant_id", "provider_name", "model_type"),
)
