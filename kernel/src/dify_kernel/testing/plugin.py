"""The pytest plugin of the kernel: readable failures of the contract suites, and proofs of what they ran against."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("dify_kernel.testing")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-proof` writes `proof.json` into the module of every plugin whose suite says what it runs against."""
    parser.addoption("--write-proof", action="store_true", help="write proof.json of every suite that states a proof")


def pytest_configure(config: pytest.Config) -> None:
    """Register the suites' marks, and the recorder in the process that sees all reports."""
    config.addinivalue_line("markers", "proof: belongs to a suite that proves a plugin against an engine")
    config.addinivalue_line("markers", "large: writes ten thousand records or many megabytes")
    config.addinivalue_line("markers", "timeout(seconds): obeyed where pytest-timeout is installed")
    if config.getoption("--write-proof") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recording(config), "dify-proof")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of suites that prove something."""
    proven = {item for item in items if "proof" in getattr(item, "fixturenames", ()) and getattr(item, "cls", None)}
    for item in proven:
        item.add_marker(pytest.mark.proof)


class _Recording:
    """Passes reports on, and writes at the end."""

    def __init__(self, config: pytest.Config) -> None:
        from dify_kernel.testing.proof import ProofRecorder

        self._recorder = ProofRecorder(config.rootpath)
        self._said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._recorder.take(report)

    def pytest_sessionfinish(self) -> None:
        self._said = self._recorder.write()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for sentence in self._said:
            terminalreporter.write_line(sentence)
