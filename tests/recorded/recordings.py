"""The recordings: where they are, what is in one, and which node types a graph needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import yaml

__all__ = ["ECHO_PORT", "SHARED", "Case", "cases", "corpus"]

SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[3] / "shared")
ECHO_PORT = 5695
#: Parts of a container that are no nodes of their own.
_PARTS = {"iteration-start", "loop-start", "custom-note", "", None}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A graph and what came back: `data` is the recording."""

    name: str
    dsl: str
    data: dict[str, Any]

    @property
    def graph(self) -> dict[str, Any]:
        """The graph as written."""
        found: dict[str, Any] = _load(self.dsl)["workflow"]["graph"]
        return found

    def needs(self) -> set[str]:
        """The node types of the graph."""
        return {node["data"].get("type") for node in self.graph["nodes"]} - _PARTS


def cases() -> list[Case]:
    """The small graphs, each about one thing, by name; none when the folder is absent."""
    oracle = SHARED / "oracle"
    return [_case(path, oracle / "cases" / f"{path.stem}.yml") for path in sorted((oracle / "own").glob("*.json"))]


def corpus() -> list[Case]:
    """Published apps, by name; none when the folder is absent. Whatever provider they name is the scripted one."""
    folder = SHARED / "corpus" / "dsl"
    found = [_case(path, folder / f"{path.stem}.yml") for path in sorted((SHARED / "oracle" / "corpus").glob("*.json"))]
    return [msgspec.structs.replace(case, dsl=_with_scripted_models(case.dsl)) for case in found]


def _case(path: Path, dsl: Path) -> Case:
    return Case(name=path.stem, dsl=dsl.read_text("utf-8"), data=msgspec.json.decode(path.read_bytes()))


def _with_scripted_models(text: str) -> str:
    data = _load(text)
    for node in data["workflow"]["graph"]["nodes"]:
        model = node["data"].get("model")
        if isinstance(model, dict) and model.get("provider"):
            model["provider"] = "openai"
    return yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)


def _load(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)
