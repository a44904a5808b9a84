"""The pytest plugin of the kernel: readable failures of the contract suites."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("dify_kernel.testing")
