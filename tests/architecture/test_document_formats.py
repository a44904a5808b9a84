"""What can be a document of a knowledge base can be read by the document extractor node too."""

from __future__ import annotations

import pytest
from dify_host.knowledge.extract.formats import EXTENSIONS
from dify_kernel.graph.values import File
from dify_nodes_document.formats import format_of


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_node_reads_what_knowledge_bases_read(extension: str) -> None:
    assert format_of(File(filename=f"a.{extension}", extension=f".{extension}"))
