"""Discovery from metadata, compatibility check, lazy loading, and the plugin manager.

Listing reads metadata alone. A plugin is imported the first time something names it: importlib-metadata lists,
stevedore loads the named driver, pluggy validates its hooks and makes the calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import importlib_metadata
import msgspec
import pluggy
from stevedore.driver import DriverManager

from dify_kernel import hookspecs
from dify_kernel.contracts import CONTRACT_VERSIONS, GROUPS
from dify_kernel.errors import (
    ContractMismatch,
    PluginBroken,
    PluginConflict,
    PluginError,
    PluginNotFound,
)
from dify_kernel.settings import load_settings

__all__ = ["Backend", "Offer", "PluginReport", "Registry"]

log = logging.getLogger(__name__)
T = TypeVar("T")

#: The contributing hook of each kind.
_REGISTER = {
    "vdb": ("register_vector_stores",),
    "storage": ("register_storages",),
    "providers": ("register_model_providers",),
    "nodes": ("register_nodes",),
    "auth": ("register_authenticators", "register_login_methods"),
    "tools": ("register_tools",),
    "datasources": ("register_datasources",),
    "hooks": (),
}
_CONTRIBUTING = tuple(name for names in _REGISTER.values() for name in names)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One name that an installed distribution offers."""

    kind: str
    name: str
    module: str
    distribution: str
    version: str


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A vector store or storage as registered: its settings struct, their prefix, and what builds it."""

    name: str
    settings: type[msgspec.Struct]
    prefix: str
    factory: Callable[[Any], Any]

    def build(self, env: Mapping[str, str]) -> Any:
        """An unopened object, its settings read from `env`; SettingsError names a bad variable."""
        return self.factory(load_settings(self.settings, env, prefix=self.prefix))


class PluginReport(msgspec.Struct, frozen=True, kw_only=True):
    """One offer with its state: `listed` (not imported), `loaded` or `broken` with the reason."""

    offer: Offer
    state: str
    contract: int | None = None
    reason: str = ""
    hooks: list[str] = []
    load_ms: float = 0.0


class Registry:
    """Finds, checks and loads plugins. One per process; `disabled` holds `kind:name` or distribution names."""

    def __init__(
        self,
        *,
        disabled: Iterable[str] = (),
        entry_points: Iterable[importlib_metadata.EntryPoint] | None = None,
    ) -> None:
        self._disabled = frozenset(disabled)
        self._given = list(entry_points) if entry_points is not None else None
        self._entries: dict[tuple[str, str], list[importlib_metadata.EntryPoint]] | None = None
        self._manager = pluggy.PluginManager("dify")
        self._manager.add_hookspecs(hookspecs)
        self._modules: dict[str, float] = {}
        self._errors: dict[tuple[str, str], str] = {}
        self._items: dict[str, dict[str, Any]] = {kind: {} for kind in (*GROUPS, "login")}
        self._complained: set[tuple[str, str]] = set()

    # -- listing ----------------------------------------------------------------------------------------------

    def offers(self, kind: str | None = None) -> list[Offer]:
        """Every name that installed distributions offer, sorted; imports no plugin."""
        found = []
        for (entry_kind, name), entries in sorted(self._index().items()):
            if kind is None or entry_kind == kind:
                found += [_offer(entry_kind, name, entry) for entry in entries]
        return found

    def names(self, kind: str) -> list[str]:
        """The offered names of a kind; imports no plugin."""
        return sorted(name for entry_kind, name in self._index() if entry_kind == kind)

    def reports(self) -> list[PluginReport]:
        """Every offer with its state; imports no plugin."""
        out = []
        for offer in self.offers():
            key = (offer.kind, offer.name)
            reason = self._errors.get(key, "")
            if not reason and len(self._index()[key]) > 1:
                reason = str(self._conflict(*key))
            state = "broken" if reason else "loaded" if offer.module in self._modules else "listed"
            out.append(
                PluginReport(
                    offer=offer,
                    state=state,
                    reason=reason,
                    contract=_contract(self._index()[key][0], offer.kind),
                    hooks=self._hooks_of(offer.module),
                    load_ms=round(self._modules.get(offer.module, 0.0), 2),
                )
            )
        return out

    def check(self) -> list[PluginReport]:
        """Load every offer and report; for `dify doctor`, not for starting."""
        for offer in self.offers():
            try:
                self.load(offer.kind, offer.name)
            except PluginError:
                continue  # kept in the report with its reason
        return self.reports()

    # -- loading ----------------------------------------------------------------------------------------------

    def load(self, kind: str, name: str) -> None:
        """Import the plugin behind a name and take what it registers; repeated calls are free.

        Raises PluginNotFound, PluginConflict, ContractMismatch or PluginBroken; the reason is kept for `reports`.
        """
        key = (kind, name)
        entries = self._index().get(key)
        if not entries:
            raise self._missing(kind, name)
        if key in self._errors:
            raise PluginBroken(self._errors[key], plugin=name)
        try:
            if len(entries) > 1:
                raise self._conflict(kind, name)
            self._load_entry(kind, entries[0])
        except PluginError as exc:
            self._errors[key] = str(exc)
            raise

    def _load_entry(self, kind: str, entry: importlib_metadata.EntryPoint) -> None:
        if entry.module in self._modules:
            return
        self._check_contract(kind, entry)
        started = time.perf_counter()
        plugin = self._import(kind, entry)
        try:
            self._manager.register(plugin, name=entry.module)
            self._check_hooks(entry, plugin)
            for hook in _CONTRIBUTING:
                self._contribute(hook, entry.module)
        except Exception as exc:
            if self._manager.has_plugin(entry.module):
                self._manager.unregister(name=entry.module)
            if isinstance(exc, PluginError):
                raise
            raise PluginBroken(
                f"Plugin {_dist(entry)} failed to register: {type(exc).__name__}: {exc}.",
                hint="Report this to its author.",
                plugin=entry.name,
            ) from exc
        self._modules[entry.module] = (time.perf_counter() - started) * 1000

    def _import(self, kind: str, entry: importlib_metadata.EntryPoint) -> Any:
        try:
            if self._given is not None:
                return entry.load()
            return DriverManager(GROUPS[kind], entry.name, on_load_failure_callback=_reraise).driver
        except Exception as exc:
            raise PluginBroken(
                f"Plugin {_dist(entry)} cannot be imported: {type(exc).__name__}: {exc}.",
                hint=f"Reinstall it: pip install --force-reinstall {_dist(entry)}.",
                plugin=entry.name,
            ) from exc

    def _check_contract(self, kind: str, entry: importlib_metadata.EntryPoint) -> None:
        wanted, found = CONTRACT_VERSIONS[kind], _contract(entry, kind)
        if found != wanted:
            stated = f"version {found}" if found else "no version"
            raise ContractMismatch(
                f"Plugin {_dist(entry)} {_version(entry)} states {stated} of the {kind} contract, "
                f"this kernel has version {wanted}.",
                hint=f"Upgrade it: pip install --upgrade {_dist(entry)} "
                f"(its author states the version as the keyword dify-contract-{kind}-{wanted}).",
                plugin=entry.name,
            )

    def _check_hooks(self, entry: importlib_metadata.EntryPoint, plugin: Any) -> None:
        """A hook implementation that no spec knows is a misspelling, not something to ignore."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                raise PluginBroken(
                    f"Plugin {_dist(entry)} implements the unknown hook {caller.name!r}.",
                    hint="See the hooks reference for the names.",
                    plugin=entry.name,
                )

    def _contribute(self, hook: str, module: str) -> None:
        others = [plugin for name, plugin in self._manager.list_name_plugin() if name != module and plugin]
        caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
        kind = next(kind for kind, hooks in _REGISTER.items() if hook in hooks)
        if hook in ("register_vector_stores", "register_storages"):

            def register_backend(
                name: str, settings: type[msgspec.Struct], factory: Callable[[Any], Any], *, prefix: str = ""
            ) -> None:
                self._put(kind, name, Backend(name=name, settings=settings, prefix=prefix, factory=factory))

            caller(register=register_backend)
        elif hook == "register_nodes":
            caller(register=self._put_node)
        else:
            table = "login" if hook == "register_login_methods" else kind
            caller(register=lambda item: self._put(table, item.name, item))

    def _put(self, table: str, name: str, item: Any) -> None:
        if name in self._items[table] and self._items[table][name] is not item:
            raise PluginConflict(f"{table} {name!r} is registered twice.", hint="Disable one of the two.", plugin=name)
        self._items[table][name] = item

    def _put_node(self, node: Any) -> None:
        versions: dict[str, Any] = self._items["nodes"].setdefault(node.type, {})
        if node.version in versions and versions[node.version] is not node:
            raise PluginConflict(f"Node {node.type!r} version {node.version} is registered twice.", plugin=node.type)
        versions[node.version] = node

    # -- what plugins offer ---------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> Any:
        """What a plugin registered under a name, loading it first: a Backend, or a class."""
        item = self._items[kind].get(name)
        if item is None:
            self.load(kind, name)
            item = self._items[kind].get(name)
        if item is None:
            raise PluginBroken(
                f"The {kind} plugin that offers {name!r} did not register it.",
                hint="Report this to its author.",
                plugin=name,
            )
        return item

    def node(self, type: str, version: str = "1") -> Any:
        """The node class of a type; an unknown version falls to the latest one."""
        versions = self.get("nodes", type)
        return versions.get(version) or versions[max(versions, key=_version_key)]

    def login_methods(self) -> dict[str, Any]:
        """The login methods of every working auth plugin."""
        self._load_all("auth")
        return dict(self._items["login"])

    def authenticators(self) -> dict[str, Any]:
        """The authenticators of every working auth plugin."""
        self._load_all("auth")
        return dict(self._items["auth"])

    def _load_all(self, kind: str) -> None:
        for name in self.names(kind):
            try:
                self.load(kind, name)
            except PluginError as exc:
                if (kind, name) not in self._complained:
                    self._complained.add((kind, name))
                    log.warning("%s plugin %s is left out: %s", kind, name, exc)

    # -- watching --------------------------------------------------------------------------------------------

    def start_watchers(self) -> None:
        """Load every plugin of the group `dify.hooks`."""
        self._load_all("hooks")

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a watching hook of every active plugin; failures are reported once and isolated."""
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                impl.function(*[arguments[name] for name in impl.argnames])
            except Exception as exc:
                key = (impl.plugin_name, hook)
                if key not in self._complained:
                    self._complained.add(key)
                    log.warning("hook %s of plugin %s failed: %s: %s", hook, impl.plugin_name, type(exc).__name__, exc)

    def has_watchers(self, hook: str) -> bool:
        """Whether any active plugin watches a hook; lets a hot path skip the call."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    # -- inside -----------------------------------------------------------------------------------------------

    def _index(self) -> dict[tuple[str, str], list[importlib_metadata.EntryPoint]]:
        if self._entries is None:
            kinds = {group: kind for kind, group in GROUPS.items()}
            index: dict[tuple[str, str], list[importlib_metadata.EntryPoint]] = {}
            for entry in self._given if self._given is not None else importlib_metadata.entry_points():
                kind = kinds.get(entry.group)
                if kind is None or not self._disabled.isdisjoint((f"{kind}:{entry.name}", _dist(entry))):
                    continue
                known = index.setdefault((kind, entry.name), [])
                if all(other.value != entry.value for other in known):
                    known.append(entry)
            self._entries = index
        return self._entries

    def _hooks_of(self, module: str) -> list[str]:
        plugin = self._manager.get_plugin(module)
        return sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or []) if plugin else []

    def _conflict(self, kind: str, name: str) -> PluginConflict:
        owners = ", ".join(sorted(_dist(entry) for entry in self._index()[(kind, name)]))
        return PluginConflict(
            f"The {kind} name {name!r} is offered by several distributions: {owners}.",
            hint="Uninstall all but one, or disable the others.",
            plugin=name,
        )

    def _missing(self, kind: str, name: str) -> PluginNotFound:
        installed = ", ".join(self.names(kind)) or "none"
        named = kind in ("vdb", "storage", "providers", "auth", "tools", "datasources")
        guess = f"dify-{kind}-{name}" if named else ""
        hint = f"Installed: {installed}." + (f" If it exists: pip install {guess}." if guess else "")
        return PluginNotFound(f"No installed plugin offers the {kind} name {name!r}.", hint=hint, plugin=name)


def _reraise(_manager: Any, _entry: Any, exc: BaseException) -> None:
    raise exc


def _dist(entry: importlib_metadata.EntryPoint) -> str:
    return str(entry.dist.name) if entry.dist else entry.module


def _version(entry: importlib_metadata.EntryPoint) -> str:
    return str(entry.dist.version) if entry.dist else ""


def _offer(kind: str, name: str, entry: importlib_metadata.EntryPoint) -> Offer:
    return Offer(kind=kind, name=name, module=entry.module, distribution=_dist(entry), version=_version(entry))


def _contract(entry: importlib_metadata.EntryPoint, kind: str) -> int | None:
    """The contract version among the distribution's keywords (`dify-contract-vdb-1`)."""
    keywords = (entry.dist.metadata.get("Keywords") if entry.dist else None) or ""
    prefix = f"dify-contract-{kind}-"
    for word in keywords.replace(",", " ").split():
        if word.startswith(prefix) and word[len(prefix) :].isdigit():
            return int(word[len(prefix) :])
    return None


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
