"""What happens before a run: inputs are judged and filled in, and an annotation may answer in the run's place.

Order as in Dify: the form is checked, moderation of the inputs, annotations, external data tools. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.graph.inputs import InputType, prepare_inputs
from dify_kernel.graph.values import File

from dify_host.annotations.records import Match
from dify_host.annotations.service import AnnotationService
from dify_host.apps.records import NO_CHAT
from dify_host.extensions.data_tools import DataTool, data_tools, fill
from dify_host.extensions.service import ApiExtensions
from dify_host.knowledge.side_by_side import side_by_side
from dify_host.models.providers import ProviderService
from dify_host.models.runtime import ModelRuntime
from dify_host.moderation.judge import Judge
from dify_host.moderation.rules import ModerationRules, read_rules
from dify_host.runs.live_apps import LiveApp
from dify_host.runs.service import RunRequest

__all__ = ["Answered", "Before", "Go"]


class Go(msgspec.Struct, frozen=True):
    """Run this request, which may be another than came in."""

    request: RunRequest


class Answered(msgspec.Struct, frozen=True):
    """The answer is here: nothing runs. `annotation` is where it comes from, unless moderation gave it."""

    request: RunRequest
    text: str
    inputs: dict[str, Any]
    annotation: Match | None = None


class Before:
    """Prepares the runs of one workspace's apps."""

    def __init__(
        self,
        *,
        models: ModelRuntime,
        providers: ProviderService,
        extensions: ApiExtensions,
        annotations: AnnotationService,
    ) -> None:
        self._models, self._providers = models, providers
        self._extensions, self._annotations = extensions, annotations

    def judge(self, app_id: str, rules: ModerationRules) -> Judge:
        """Who judges the texts of an app by its rules."""
        return Judge(app_id, rules, models=self._models, providers=self._providers, extensions=self._extensions)

    async def prepare(self, live: LiveApp, request: RunRequest) -> Go | Answered:
        """Whether and with what to run. BadInput for inputs that do not fit, the errors of who is asked."""
        features = live.program.features
        rules = read_rules(features.get("sensitive_word_avoidance"))
        judge = self.judge(live.app.id, rules) if rules is not None else None
        tools = data_tools(features.get("external_data_tools") or (), features.get("user_input_form") or ())
        if live.app.mode in NO_CHAT or (judge is None and live.annotations is None and not tools):
            return Go(request)
        checked = _checked(live, request.inputs, tools)
        inputs = _texts(checked)
        if judge is not None:
            verdict = await judge.inputs(inputs, request.query)
            if verdict is not None and verdict.answer is not None:
                return Answered(request, verdict.answer, checked)
            if verdict is not None:
                inputs |= verdict.inputs or {}
                request = msgspec.structs.replace(
                    request, inputs={**request.inputs, **(verdict.inputs or {})}, query=verdict.query or request.query
                )
        if live.annotations is not None and request.query and live.app.mode != "completion":
            match = await self._annotations.match(live.annotations, request.query)
            if match is not None:
                return Answered(request, match.annotation.answer, checked, match)
        if tools:
            asked = [fill(tool, self._extensions, live.app.id, inputs, request.query) for tool in tools]
            filled = dict(await side_by_side(asked))
            request = msgspec.structs.replace(request, inputs={**request.inputs, **filled})
        return Go(request)


def _checked(live: LiveApp, given: Mapping[str, Any], tools: Sequence[DataTool]) -> dict[str, Any]:
    """The inputs as the form takes them, so that nobody is asked about what cannot run; tools fill their own later."""
    filled = {tool.variable for tool in tools}
    form = [
        item
        for item in live.program.form
        if item.variable not in filled and item.type is not InputType.EXTERNAL_DATA_TOOL
    ]
    return prepare_inputs(form, given)


def _texts(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What can be judged and sent: everything but files."""
    return {name: value for name, value in inputs.items() if not isinstance(value, File) and not _is_files(value)}


def _is_files(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, File) for item in value)
