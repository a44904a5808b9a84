"""The package is found by its names, loads without the template engine, and offers both assigners."""

import subprocess
import sys

import pytest
from dify_kernel.registry import Registry
from dify_nodes_core.assigner import AssignerNode
from dify_nodes_core.assigner_v1 import AssignerV1Node
from dify_nodes_core.plugin import NODES


def test_every_type_is_found_by_name():
    registry = Registry()
    for node in NODES:
        assert registry.node(node.type, node.version) is node
    assert {offer.name for offer in registry.offers("nodes") if offer.distribution == "dify-nodes-core"} == {
        node.type for node in NODES
    }


@pytest.mark.parametrize(("version", "expected"), [("1", AssignerV1Node), ("2", AssignerNode), ("9", AssignerNode)])
def test_an_unknown_version_falls_to_the_latest(version, expected):
    assert Registry().node("assigner", version) is expected


def test_importing_the_plugin_does_not_import_jinja():
    program = "import sys, dify_nodes_core.plugin; print('jinja2' in sys.modules)"

    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
