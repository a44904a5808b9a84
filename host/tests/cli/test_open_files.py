"""A server takes as many open files as the system lets it have."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from dify_host.cli.serve import open_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
open_files()
soft, same = resource.getrlimit(resource.RLIMIT_NOFILE)
assert same == hard and (soft == min(hard, 65_536) or hard == resource.RLIM_INFINITY and soft == 65_536), (soft, hard)
open_files()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
"""


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
