"""The models that a workspace may use."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.model import ModelType
from dify_kernel.errors import BadInput
from litestar import Controller, get
from litestar.params import FromPath

from dify_host.http.callers import DatasetKey
from dify_host.models.providers import ModelStatus, ProviderModels

__all__ = ["ModelController"]


class ModelController(Controller):
    """The route that lists models."""

    path = "/workspaces/current/models"
    tags = ("Models",)

    @get("/model-types/{model_type:str}")
    async def models(self, model_type: FromPath[str], caller: DatasetKey) -> dict[str, Any]:
        """The models of a kind, provider by provider."""
        try:
            kind = ModelType(model_type)
        except ValueError as exc:
            hint = f"Use one of: {', '.join(ModelType)}."
            raise BadInput(f"Model type {model_type!r} is unknown.", hint=hint, field="model_type") from exc
        found = await caller.workspace.providers.models(kind)
        return {"data": [_provider(item, caller.tenant.id) for item in found]}


def _provider(found: ProviderModels, tenant_id: str) -> dict[str, Any]:
    usable = any(model.status == "active" for model in found.models)
    return {
        "tenant_id": tenant_id,
        "provider": found.provider,
        "label": {"en_US": found.label or found.provider},
        "icon_small": None,
        "icon_small_dark": None,
        "status": "active" if usable else "no-configure",
        "models": [_model(model) for model in found.models],
    }


def _model(model: ModelStatus) -> dict[str, Any]:
    info = model.info
    properties = {"mode": info.mode} if info.model_type == ModelType.LLM else {}
    if info.context_size:
        properties["context_size"] = info.context_size  # type: ignore[assignment]
    return {
        "model": info.model,
        "label": {"en_US": info.label or info.model},
        "model_type": info.model_type.value,
        "features": [feature.value for feature in info.features],
        "fetch_from": "predefined-model",
        "model_properties": properties,
        "deprecated": info.deprecated,
        "status": model.status,
        "load_balancing_enabled": False,
        "has_invalid_load_balancing_configs": False,
    }
