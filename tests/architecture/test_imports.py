"""Importing is free: a plugin costs little and brings no vendor client, and listing plugins imports none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
#: What a plugin may find imported already: the standard library, the kernel and what the kernel needs.
ALLOWED = {"dify_kernel", "msgspec", "pluggy", "stevedore", "importlib_metadata", "zipp", "pbr"}

_PROBE = """
import json, sys, time
import dify_kernel.registry, dify_kernel.contracts.node, dify_kernel.contracts.vector, dify_kernel.contracts.storage
import dify_kernel.contracts.auth, dify_kernel.contracts.tool, dify_kernel.graph.inputs
before = set(sys.modules)
module = sys.argv[1]
spent = time.process_time()
__import__(module + ".plugin")
spent = time.process_time() - spent
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"ms": spent * 1000, "new": sorted(n for n in new if n not in sys.stdlib_module_names)}))
"""


def probe(module: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", _PROBE, module], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_importing_a_plugin_brings_no_vendor_client(plugin: str) -> None:
    module = f"dify_{plugin}"
    # The build's own settings are the standard library's, under a name of the machine.
    new = {name for name in probe(module)["new"] if not name.startswith(("__editable__", "_sysconfigdata"))}
    assert new - ALLOWED == {module}


def test_listing_every_plugin_imports_none_of_them() -> None:
    code = (
        "import sys; from dify_kernel.registry import Registry; r = Registry(); n = len(r.reports());"
        "print(n, sorted(m for m in sys.modules if m.startswith('dify_') and m.partition('.')[0] != 'dify_kernel'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, _, names = done.stdout.partition(" ")
    assert int(count) >= len(PLUGINS)
    assert names.strip() == "[]"
