"""Discovery: listing imports nothing, loading is lazy and checked, a bad plugin is named and takes nothing down."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import importlib_metadata
import msgspec
import pytest
from dify_kernel.contracts.node import InlineNode, NodeContext, NodeResult
from dify_kernel.errors import ContractMismatch, PluginBroken, PluginConflict, PluginNotFound
from dify_kernel.hookspecs import hookimpl
from dify_kernel.registry import Registry


class _Dist:
    """A distribution as far as the registry looks at one."""

    version = "1.0"

    def __init__(self, name: str, keywords: str) -> None:
        self.name = name
        self.metadata = {"Keywords": keywords}


def entry(
    kind: str, name: str, module: str, *, dist: str = "", contract: int | None = 1
) -> importlib_metadata.EntryPoint:
    keywords = f"dify,dify-contract-{kind}-{contract}" if contract else ""
    point = importlib_metadata.EntryPoint(name=name, value=module, group=f"dify.{kind}")
    return point._for(_Dist(dist or f"dify-{kind}-{name}", keywords))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes an importable module of these members."""

    def make(name: str, **members: Any) -> str:
        made = types.ModuleType(name)
        for key, value in members.items():
            setattr(made, key, value)
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


class _Settings(msgspec.Struct, frozen=True):
    url: str = "nowhere"


def make_node(type: str, version: str = "1") -> type[InlineNode]:
    def evaluate(self: InlineNode, ctx: NodeContext) -> NodeResult:
        return NodeResult()

    return types.new_class(
        "_Made", (InlineNode,), {}, lambda body: body.update(type=type, version=version, evaluate=evaluate)
    )


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("one", _Settings, lambda settings: ("store", settings.url), prefix="ONE_")


def test_listing_imports_nothing() -> None:
    registry = Registry(entry_points=[entry("vdb", "one", "no_such_module_at_all")])
    assert [offer.name for offer in registry.offers("vdb")] == ["one"]
    assert [report.state for report in registry.reports()] == ["listed"]


def test_a_named_plugin_is_loaded_and_built_from_the_environment(module: Callable[..., str]) -> None:
    name = module("plugin_one", register_vector_stores=register_vector_stores)
    registry = Registry(entry_points=[entry("vdb", "one", name)])
    assert registry.get("vdb", "one").build({"ONE_URL": "here"}) == ("store", "here")
    assert registry.reports()[0].state == "loaded"
    assert registry.reports()[0].hooks == ["register_vector_stores"]


def test_one_module_may_stand_behind_several_names(module: Callable[..., str]) -> None:
    calls = []

    @hookimpl
    def register_nodes(register: Callable[..., None]) -> None:
        calls.append(1)
        register(make_node("a"))
        register(make_node("b"))
        register(make_node("b", "2"))

    name = module("plugin_nodes", register_nodes=register_nodes)
    registry = Registry(entry_points=[entry("nodes", "a", name), entry("nodes", "b", name)])
    assert registry.node("a").type == "a"
    assert registry.node("b", "2").version == "2"
    assert registry.node("b", "9").version == "2"
    assert calls == [1]


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason_and_the_others_work(
    module: Callable[..., str],
) -> None:
    good = module("plugin_one", register_vector_stores=register_vector_stores)
    registry = Registry(entry_points=[entry("vdb", "bad", "no_such_module_at_all"), entry("vdb", "one", good)])
    with pytest.raises(PluginBroken, match=r"dify-vdb-bad.*no_such_module_at_all"):
        registry.get("vdb", "bad")
    registry.get("vdb", "one")
    assert {report.offer.name: report.state for report in registry.check()} == {"bad": "broken", "one": "loaded"}


@pytest.mark.parametrize("contract", [2, None])
def test_the_contract_version_is_checked_before_import(contract: int | None) -> None:
    registry = Registry(entry_points=[entry("vdb", "new", "no_such_module_at_all", contract=contract)])
    with pytest.raises(ContractMismatch, match="version 1"):
        registry.get("vdb", "new")
    assert "no_such_module_at_all" not in sys.modules


def test_two_distributions_with_one_name_are_an_error_not_last_wins(module: Callable[..., str]) -> None:
    registry = Registry(
        entry_points=[entry("vdb", "one", "mod_a", dist="dify-a"), entry("vdb", "one", "mod_b", dist="dify-b")]
    )
    with pytest.raises(PluginConflict, match="dify-a, dify-b"):
        registry.get("vdb", "one")
    assert {report.state for report in registry.reports()} == {"broken"}


def test_a_missing_name_says_what_is_installed_and_what_to_install() -> None:
    registry = Registry(entry_points=[entry("vdb", "one", "plugin_one")])
    with pytest.raises(PluginNotFound, match=r"'two'.*Installed: one\..*pip install dify-vdb-two"):
        registry.get("vdb", "two")


def test_a_misspelt_hook_breaks_the_plugin(module: Callable[..., str]) -> None:
    @hookimpl
    def register_vectorstores(register: Callable[..., None]) -> None: ...

    registry = Registry(
        entry_points=[entry("vdb", "x", module("plugin_x", register_vectorstores=register_vectorstores))]
    )
    with pytest.raises(PluginBroken, match="register_vectorstores"):
        registry.get("vdb", "x")


def test_a_hook_with_a_wrong_argument_breaks_the_plugin(module: Callable[..., str]) -> None:
    @hookimpl
    def register_vector_stores(registrar: Callable[..., None]) -> None: ...

    registry = Registry(
        entry_points=[entry("vdb", "x", module("plugin_x", register_vector_stores=register_vector_stores))]
    )
    with pytest.raises(PluginBroken, match="registrar"):
        registry.get("vdb", "x")


def test_a_plugin_that_does_not_register_what_it_promised_is_broken(module: Callable[..., str]) -> None:
    registry = Registry(entry_points=[entry("vdb", "x", module("plugin_empty"))])
    with pytest.raises(PluginBroken, match="did not register"):
        registry.get("vdb", "x")


@pytest.mark.parametrize("disabled", ["vdb:one", "dify-vdb-one"])
def test_a_disabled_plugin_is_not_offered(disabled: str) -> None:
    registry = Registry(entry_points=[entry("vdb", "one", "plugin_one")], disabled=[disabled])
    assert registry.offers() == []


def test_installed_plugins_are_found_through_their_entry_points() -> None:
    """The real door: whatever the workspace installs is listed by its metadata and loaded by name."""
    registry = Registry()
    if "if-else" not in registry.names("nodes"):
        pytest.skip("no node plugin is installed beside the kernel")
    assert registry.node("if-else").type == "if-else"
