"""What an end node streams: its variables a line each, and nothing for one that does not exist."""

from __future__ import annotations

import msgspec
from dify_nodes_core.end import EndConfig, EndNode


def test_a_missing_variable_streams_nothing() -> None:
    config = msgspec.convert({"outputs": [{"variable": "x", "value_selector": ["gone", "x"]}]}, EndConfig)
    node = EndNode("end", config)
    assert node.pieces() == [("gone", "x")]
    assert node.missing(("gone", "x")) == ""
