"""The hooks: documented with their exact arguments, called as promised, failures isolated."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest
from dify_kernel import hookspecs
from dify_kernel.hookspecs import hookimpl
from dify_kernel.registry import Registry

DOCS = Path(__file__).parents[2] / "docs" / "hooks.md"
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "dify_spec")}
WATCHING = ("configure_app", "run_event", "model_invoked", "document_indexed")


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_is_documented_with_its_exact_arguments(name: str) -> None:
    signature = f"{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})"
    assert f"### {signature}\n" in DOCS.read_text()


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hooks_docstring_has_when_args_and_raises(name: str) -> None:
    text = inspect.getdoc(HOOKS[name]) or ""
    assert all(word in text for word in ("When:", "Args:", "Raises:")), text


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^### (\w+)\(", DOCS.read_text(), re.MULTILINE)) == set(HOOKS)


def test_every_hook_has_a_user_in_the_tree() -> None:
    plugins = Path(__file__).parents[2] / "plugins"
    if not plugins.is_dir():
        pytest.skip("the kernel is tested outside its workspace")
    source = "\n".join(path.read_text() for path in plugins.glob("*/src/*/plugin.py"))
    assert [name for name in HOOKS if f"def {name}(" not in source] == []


def watcher(monkeypatch: pytest.MonkeyPatch, **hooks: Callable[..., Any]) -> Registry:
    module = types.ModuleType("plugin_watch")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    monkeypatch.setitem(sys.modules, "plugin_watch", module)

    class Dist:
        name, version, metadata = "dify-hooks-watch", "1", {"Keywords": "dify-contract-hooks-1"}

    point = importlib_metadata.EntryPoint(name="watch", value="plugin_watch", group="dify.hooks")._for(Dist())
    registry = Registry(entry_points=[point])
    registry.start_watchers()
    return registry


def test_hook_run_event(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run_event(run: Any, event: Any) -> None:
        seen.append((run, event))

    registry = watcher(monkeypatch, run_event=run_event)
    assert registry.has_watchers("run_event")
    registry.notify("run_event", run="r", event="e")
    assert seen == [("r", "e")]


def test_hook_model_invoked_may_take_fewer_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def model_invoked(model: str, usage: Any) -> None:
        seen.append((model, usage))

    registry = watcher(monkeypatch, model_invoked=model_invoked)
    registry.notify("model_invoked", provider="p", model="m", model_type="llm", usage=3, error=None)
    assert seen == [("m", 3)]


def test_hook_document_indexed_failures_are_isolated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def document_indexed(status: str) -> None:
        raise RuntimeError("watcher is broken")

    registry = watcher(monkeypatch, document_indexed=document_indexed)
    for _ in range(3):
        registry.notify("document_indexed", tenant_id="t", dataset_id="d", document_id="x", status="completed")
    assert caplog.text.count("watcher is broken") == 1


def test_hook_configure_app(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted: dict[str, Any] = {}

    def configure_app(mount: Callable[[str, Any], None]) -> None:
        mount("/metrics", "app")

    registry = watcher(monkeypatch, configure_app=configure_app)
    registry.notify("configure_app", mount=mounted.__setitem__)
    assert mounted == {"/metrics": "app"}
