"""Judges texts by the rules of an app. What cannot be judged is an error, never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from dify_kernel.contracts.model import ModelType
from dify_kernel.errors import BadInput

from dify_host.extensions.errors import ExtensionFailed
from dify_host.extensions.service import ApiExtensions, Point
from dify_host.models.providers import ProviderService
from dify_host.models.runtime import ModelRuntime
from dify_host.moderation.rules import ModerationRules

__all__ = ["InputVerdict", "Judge", "OutputVerdict"]

#: A kind of this ending stands for the moderation models; what comes before is the provider that is liked best.
_MODEL_KIND: Final = "_moderation"


class InputVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with what came in: give `answer` instead of running, or run with these inputs and this query."""

    answer: str | None = None
    inputs: dict[str, Any] | None = None
    query: str | None = None


class OutputVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an answer: `text` takes its place; `final` says that nothing of the rest is shown either."""

    text: str
    final: bool = True


class _Answer(msgspec.Struct, kw_only=True):
    """What a service answers to a moderation point."""

    flagged: bool
    action: Literal["direct_output", "overridden"] = "direct_output"
    preset_response: str | None = None
    inputs: dict[str, Any] | None = None
    query: str | None = None
    text: str | None = None


class Judge:
    """Judges for one app of one workspace; raises the errors of models and extensions, BadInput for unknown kinds."""

    def __init__(
        self,
        app_id: str,
        rules: ModerationRules,
        *,
        models: ModelRuntime,
        providers: ProviderService,
        extensions: ApiExtensions,
    ) -> None:
        self._app_id, self.rules = app_id, rules
        self._models, self._providers, self._extensions = models, providers, extensions

    async def inputs(self, inputs: Mapping[str, Any], query: str) -> InputVerdict | None:
        """What is wrong with the inputs and query of a run; None when nothing is, or they are not judged."""
        side = self.rules.inputs
        if not side.enabled:
            return None
        if self.rules.type == "api":
            params = {"app_id": self._app_id, "inputs": dict(inputs), "query": query}
            answer = await self._ask("app.moderation.input", params)
            if not answer.flagged:
                return None
            if answer.action == "overridden":
                return InputVerdict(inputs=answer.inputs or {}, query=answer.query or "")
            return InputVerdict(answer=answer.preset_response or "")
        texts = [*(str(value) for value in inputs.values() if value is not None), query]
        return InputVerdict(answer=side.preset_response) if await self._refused(texts) else None

    async def output(self, text: str) -> OutputVerdict | None:
        """What is wrong with an answer, or the beginning of one; None when nothing is, or it is not judged."""
        side = self.rules.outputs
        if not side.enabled or not text:
            return None
        if self.rules.type == "api":
            answer = await self._ask("app.moderation.output", {"app_id": self._app_id, "text": text})
            if not answer.flagged:
                return None
            if answer.action == "overridden":
                return OutputVerdict(text=answer.text or "", final=False)
            return OutputVerdict(text=answer.preset_response or "")
        return OutputVerdict(text=side.preset_response) if await self._refused([text]) else None

    async def _refused(self, texts: list[str]) -> bool:
        kind = self.rules.type
        if kind == "keywords":
            lowered = [text.lower() for text in texts]
            return any(word in text for word in self.rules.keywords for text in lowered)
        if kind.endswith(_MODEL_KIND):
            joined = "\n".join(text for text in texts if text)
            provider, model = await self._model(kind.removesuffix(_MODEL_KIND))
            return bool(joined) and await self._models.moderate(provider, model, joined)
        raise BadInput(
            f"The app is moderated by {kind!r}, which is not known here.",
            hint="Choose keywords, a moderation model or an API extension.",
            field="sensitive_word_avoidance",
        )

    async def _model(self, liked: str) -> tuple[str, str]:
        """A moderation model of the provider that the app likes; empty names (the default) when it has none."""
        for provider in await self._providers.models(ModelType.MODERATION):
            if provider.provider == liked:
                for item in provider.models:
                    if item.status == "active" and not item.info.deprecated:
                        return liked, item.info.model
        return "", ""

    async def _ask(self, point: Point, params: Mapping[str, Any]) -> _Answer:
        answer = await self._extensions.call(self.rules.extension_id, point, params)
        try:
            return msgspec.convert(answer, _Answer, strict=False)
        except msgspec.ValidationError as exc:
            raise ExtensionFailed(
                f"The extension's verdict cannot be read: {exc}.", extension_id=self.rules.extension_id
            ) from exc
