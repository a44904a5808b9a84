"""The document extractor node: the text of files, each read in a process of its own."""

from dify_nodes_document.plugin import register_nodes

__all__ = ["register_nodes"]
