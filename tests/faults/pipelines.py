"""The pipelines of knowledge bases that are run while processes die: files by their meaning, pages by their words."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import yaml

from tests.faults.basic_apps import Data
from tests.faults.parts import field, llm, node, path, post
from tests.faults.texts import lines_of, slug, word_of

__all__ = ["GONE", "FaultPipeline", "fault_pipelines", "page_address"]

#: How the name of a page ends that its site does not have any more.
GONE = " gone"


class FaultPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline: its DSL, the kind of its source, which is the node `source`, and the pieces of a document's name.

    A document without pieces is one that must end with an error.
    """

    name: str
    dsl: str
    kind: str
    pieces: Callable[[str], list[str] | None]
    mode: str = "rag-pipeline"
    started_by: str = "document"

    def body(self, word: str, pace: str, items: list[Data], *, published: bool) -> Data:
        """The body of a run on some items."""
        return {
            "inputs": {"word": word, "pace": pace},
            "datasource_type": self.kind,
            "datasource_info_list": items,
            "start_node_id": "source",
            "is_published": published,
            "response_mode": "blocking",
        }


def fault_pipelines(effects: str) -> list[FaultPipeline]:
    """All of them. `effects` is the address of the endpoint with side effects, which has the pages too."""
    return [
        FaultPipeline(name="files", dsl=_files(effects), kind="local_file", pieces=_pieces_of_file),
        FaultPipeline(name="pages", dsl=_pages(effects), kind="website_crawl", pieces=_pieces_of_page),
    ]


def _pieces_of_file(name: str) -> list[str]:
    return [*lines_of(name), f"read {word_of(name)}", "done"]


def _pieces_of_page(name: str) -> list[str] | None:
    return None if name.endswith(GONE) else [*lines_of(name), "done"]


def _files(effects: str) -> str:
    """A file that is read, told of, judged by a model, cut, and embedded."""
    model = {"embedding_model": "scripted-embedding", "embedding_model_provider": "openai"}
    nodes = [
        _source("local_file", "file", "upload-file"),
        node("read", "document-extractor", variable_selector=["source", "file"], is_array_file=False),
        post("note", effects, "plain", "{{#read.text#}}"),
        llm("llm", "{{#rag.shared.pace#}} REPLY:read {{#rag.shared.word#}}"),
        _chunker("{{#read.text#}}\n{{#llm.text#}}\n{{#note.body#}}"),
        _index("high_quality", "semantic_search", **model),
    ]
    return _dsl("files", nodes)


def _pages(effects: str) -> str:
    """A page that is fetched when its run begins, told of, cut, and found by its words."""
    nodes = [
        _source("website_crawl", "web", "crawl"),
        post("note", effects, "plain", "{{#source.content#}}"),
        _chunker("{{#source.content#}}\n{{#note.body#}}"),
        _index("economy", "keyword_search", keyword_number=5),
    ]
    return _dsl("pages", nodes)


def _source(kind: str, provider: str, name: str) -> Data:
    names = {"plugin_id": f"langgenius/{provider}", "provider_name": provider, "datasource_name": name}
    return node("source", "datasource", provider_type=kind, **names)


def _chunker(value: str) -> Data:
    given = {"input_variable": value, "delimiter": "\\n"}
    mixed = {name: {"type": "mixed", "value": item} for name, item in given.items()}
    longest = {"type": "constant", "value": 200}
    provider = "langgenius/general_chunker/general_chunker"
    return node(
        "chunker",
        "tool",
        provider_id=provider,
        provider_name=provider,
        provider_type="builtin",
        tool_name="general_chunker",
        tool_parameters={**mixed, "max_chunk_length": longest},
        tool_configurations={},
    )


def _index(technique: str, method: str, **more: object) -> Data:
    found = {"search_method": method, "top_k": 3, "score_threshold_enabled": False, "reranking_enable": False}
    return node(
        "index",
        "knowledge-index",
        chunk_structure="text_model",
        index_chunk_variable_selector=["chunker", "result"],
        indexing_technique=technique,
        retrieval_model=found,
        **more,
    )


def _dsl(title: str, nodes: list[Data]) -> str:
    graph = {"nodes": nodes, "edges": path(*(item["id"] for item in nodes))}
    form = [{**field(name), "belong_to_node_id": "shared"} for name in ("word", "pace")]
    head = {"name": title, "icon": "x", "icon_type": "emoji", "icon_background": "#FFEAD5", "description": ""}
    workflow = {"graph": graph, "rag_pipeline_variables": form}
    # Through JSON, so that no part stands for another by a reference of YAML.
    whole = {"version": "0.5.0", "kind": "rag_pipeline", "rag_pipeline": head, "workflow": workflow}
    return yaml.safe_dump(json.loads(json.dumps(whole)), allow_unicode=True)


def page_address(effects: str, name: str) -> str:
    """Where a page is."""
    return f"{effects}/page/{slug(name)}"
