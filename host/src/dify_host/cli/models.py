"""`dify models`: providers, their credentials, default models, and a first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from dify_kernel.errors import BadInput

from dify_host.cli.app_run import pairs
from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_kernel.contracts.model import ModelType

    from dify_host.workspace import Workspace

__all__ = ["models"]

TYPES = ("llm", "text-embedding", "rerank", "speech2text", "moderation", "tts")


@click.group()
def models() -> None:
    """Add model providers, choose default models, try them."""


@models.command()
@click.argument("provider")
@click.option("-c", "--credential", "credentials", multiple=True, metavar="NAME=VALUE", help="See `plugins show`.")
@takes_call
def add(call: Call, provider: str, credentials: tuple[str, ...]) -> None:
    """Check a provider's credentials with it and keep them."""
    call.run(_add(call, provider, pairs(credentials, "--credential")))


async def _add(call: Call, provider: str, credentials: dict[str, Any]) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        info = await workspace.providers.add(provider, credentials)
    call.out.done(f"{info.label or info.provider} is ready.")
    call.out.result({"provider": info.provider, "status": info.status})


@models.command("list")
@takes_call
def list_models(call: Call) -> None:
    """List providers and their models."""
    call.run(_list(call))


async def _list(call: Call) -> None:
    async with call.workspace() as (_platform, workspace, _owner):
        infos = await workspace.providers.list()
        offered = {item.provider: item.models for item in await workspace.providers.models()}
        defaults = {kind: await workspace.providers.default(_type(kind)) for kind in TYPES}
    chosen = {(item.provider, item.model) for item in defaults.values() if item is not None}
    rows, data = [], []
    for info in infos:
        if info.status == "broken":
            rows.append((info.provider, "", "", f"broken: {info.reason}", ""))
        for model in offered.get(info.provider, []):
            mark = "✓" if (info.provider, model.info.model) in chosen else ""
            rows.append((info.provider, model.info.model, model.info.model_type.value, model.status, mark))
        names = [model.info.model for model in offered.get(info.provider, [])]
        data.append({"provider": info.provider, "status": info.status, "models": names, "reason": info.reason})
    call.out.table("Models", ["provider", "model", "type", "status", "default"], rows)
    named = {kind: f"{item.provider}/{item.model}" for kind, item in defaults.items() if item is not None}
    call.out.result({"providers": data, "defaults": named})


@models.command()
@click.argument("model_type", type=click.Choice(TYPES))
@click.argument("model", metavar="PROVIDER/MODEL")
@takes_call
def default(call: Call, model_type: str, model: str) -> None:
    """Choose what is used where an app names no model."""
    call.run(_default(call, model_type, model))


async def _default(call: Call, model_type: str, model: str) -> None:
    provider, name = _named(model)
    async with call.workspace() as (_platform, workspace, _owner):
        chosen = await workspace.providers.set_default(_type(model_type), provider, name)
    call.out.done(f"{chosen.provider}/{chosen.model} is the default {model_type} model.")
    call.out.result({"model_type": model_type, "provider": chosen.provider, "model": chosen.model})


@models.command()
@click.argument("model", metavar="[PROVIDER/MODEL]", required=False)
@click.option("--type", "model_type", type=click.Choice(("llm", "text-embedding")), default="llm", show_default=True)
@click.option("--text", default="Say hello in one short sentence.", help="What to send.")
@takes_call
def test(call: Call, model: str | None, model_type: str, text: str) -> None:
    """Make one call; without a model, to the default one."""
    call.run(_test(call, model, model_type, text))


async def _test(call: Call, model: str | None, model_type: str, text: str) -> None:
    provider, name = _named(model) if model else ("", "")
    async with call.workspace() as (_platform, workspace, _owner):
        if model_type == "llm":
            shown = await _ask(call, workspace, provider, name, text)
        else:
            embedded = await workspace.models.embed(provider, name, [text])
            shown = {"dimension": len(embedded.vectors[0]), "tokens": embedded.usage.total_tokens}
            call.out.done(f"A vector of {shown['dimension']} numbers.")
    call.out.result(shown)


async def _ask(call: Call, workspace: Workspace, provider: str, name: str, text: str) -> dict[str, Any]:
    from contextlib import aclosing

    from dify_kernel.contracts.model import LLMRequest, PromptMessage

    answer, tokens = [], 0
    request = LLMRequest(model=name, messages=[PromptMessage(role="user", content=text)])
    async with aclosing(workspace.models.llm(provider, request)) as deltas:
        async for delta in deltas:
            answer.append(delta.text)
            call.out.write(delta.text)
            tokens = delta.usage.total_tokens if delta.usage else tokens
    call.out.write("\n")
    return {"answer": "".join(answer), "tokens": tokens}


def _named(model: str) -> tuple[str, str]:
    provider, separator, name = model.partition("/")
    if not separator or not name:
        raise BadInput(f"{model!r} is not PROVIDER/MODEL.", hint="For instance openai/gpt-4o-mini.")
    return provider, name


def _type(name: str) -> ModelType:
    from dify_kernel.contracts.model import ModelType

    return ModelType(name)
