"""The chunkers keep the tool contract, and give what the end of a pipeline takes."""

from __future__ import annotations

from typing import Any

import pytest
from dify_kernel.contracts.tool import FileContent, VariableMessage
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.tool import ToolExample, ToolProviderSuite
from dify_tools_chunkers.tools import GeneralChunker, NoCredentials, ParentChildChunker, QaChunker


def example(tool: str, result: dict[str, Any], **parameters: Any) -> ToolExample:
    return ToolExample(tool=tool, parameters=parameters, messages=[VariableMessage(name="result", value=result)])


def table(text: str, encoding: str = "utf-8") -> FileContent:
    return FileContent(data=text.encode(encoding), filename="faq.csv", mime_type="text/csv")


class _Chunkers(ToolProviderSuite, suite=True):
    @pytest.fixture
    def credentials(self) -> NoCredentials:
        return NoCredentials()


class TestGeneral(_Chunkers):
    shared = {"delimiter": "\\n\\n", "max_chunk_length": 20}
    examples = [
        example("general_chunker", {"general_chunks": ["Tea.", "Coffee."]}, input_variable="Tea.\n\nCoffee.", **shared),
        example("general_chunker", {"general_chunks": []}, input_variable=" \n\n ", **shared),
        example(
            "general_chunker",
            {"general_chunks": ["a b [c](https://d.e)"]},
            input_variable="a   b x@example.org [c](https://d.e) https://f.g/h",
            **shared | {"max_chunk_length": 100, "delimiter": ""},
            replace_consecutive_spaces_newlines_tabs=True,
            delete_all_urls_and_email_addresses=True,
        ),
        ToolExample(tool="general_chunker", parameters={"input_variable": "a", **shared, "max_chunk_length": 0},
                    error="`max_chunk_length` is 0"),
    ]  # fmt: skip

    @pytest.fixture
    def tools(self) -> GeneralChunker:
        return GeneralChunker(FakeHttp())


class TestParents(_Chunkers):
    text = "Green tea. Black tea.\n\nCoffee."
    examples = [
        example(
            "parentchild_chunker",
            {
                "parent_mode": "paragraph",
                "parent_child_chunks": [
                    {"parent_content": "Green tea. Black tea.", "child_contents": ["Green tea", "Black tea."]},
                    {"parent_content": "Coffee.", "child_contents": ["Coffee."]},
                ],
            },
            input_text=text,
            parent_mode="paragraph",
        ),
        example(
            "parentchild_chunker",
            {"parent_mode": "full_doc", "parent_child_chunks": [
                {"parent_content": text, "child_contents": ["Green tea. Black tea.", "Coffee."]}]},
            input_text=text,
            parent_mode="full_doc",
            subchunk_separator="\\n",
        ),
        ToolExample(tool="parentchild_chunker", parameters={"input_text": "a", "parent_mode": "page"}, error="'page'"),
    ]  # fmt: skip

    @pytest.fixture
    def tools(self) -> ParentChildChunker:
        return ParentChildChunker(FakeHttp())


class TestPairs(_Chunkers):
    rows = 'n,q,a\n1,"What, ""tea""?",A drink\n2,,nothing\n3,Größe?,"12\n13"\n4\n'
    pairs = {
        "qa_chunks": [{"question": 'What, "tea"?', "answer": "A drink"}, {"question": "Größe?", "answer": "12\n13"}]
    }
    columns = {"question_column": 1, "answer_column": 2}
    examples = [
        example("qa_chunk", pairs, input_file=table(rows), **columns),
        example("qa_chunk", pairs, input_file=table(rows, "utf-16"), **columns),
        example("qa_chunk", pairs, input_file=table(rows, "utf-8-sig"), **columns),
        example("qa_chunk", {"qa_chunks": []}, input_file=table(""), **columns),
        ToolExample(tool="qa_chunk", parameters={"input_file": table(rows), "question_column": 1, "answer_column": 3},
                    error="no column 3"),
        ToolExample(tool="qa_chunk", parameters={"input_file": table(rows), "question_column": -1, "answer_column": 3},
                    error="`question_column` is -1"),
        ToolExample(tool="qa_chunk", parameters={"input_file": table(rows, "latin-1"), **columns}, error="UTF-8"),
    ]  # fmt: skip

    @pytest.fixture
    def tools(self) -> QaChunker:
        return QaChunker(FakeHttp())
