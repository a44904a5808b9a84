"""What the suites of vector stores and storages share: against what they run, and what happens around the server."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from dify_kernel.proof import Proof, read_proofs
from dify_kernel.testing.honesty import ContractSuite, contract_tests
from dify_kernel.testing.proof import module_folder, state

__all__ = ["BackendSuite", "Restart", "assert_no_secret"]

Restart = Callable[[], Awaitable[None]]


class BackendSuite(ContractSuite):
    """Fixtures that an author overrides in the class of the suite; each one left out leaves its tests out."""

    @pytest.fixture
    def proof(self) -> Proof | None:
        """Against what the suite runs, with the version that the engine or its distribution gives."""
        return None

    @pytest.fixture
    def restart(self) -> Restart | None:
        """Stops the server and starts it again on the same address and data: `Server.restart`."""
        return None

    @pytest.fixture
    def unreachable(self) -> Any:
        """An object, not opened, with credentials and an address where nothing answers."""
        return None

    @pytest.fixture
    def unauthorized(self) -> Any:
        """An object, not opened, with credentials that the running server refuses."""
        return None

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """The passwords and keys that `unreachable` and `unauthorized` were given."""
        return ()

    @pytest.fixture(autouse=True)
    def _stated(self, request: pytest.FixtureRequest, proof: Proof | None) -> None:
        tests = contract_tests(type(self))
        if proof is not None and request.node.originalname in tests:
            state(request.node.user_properties, proof, type(self).__name__, len(tests))

    def test_the_written_proof_agrees(self, request: pytest.FixtureRequest, proof: Proof | None) -> None:
        """Troubleshooting: `proof.json` is of another run; `pytest -m proof --write-proof` writes it anew."""
        written = {proven.suite: proven.kind for proven in read_proofs(module_folder(request.path))}
        if not request.config.getoption("--write-proof"):
            stated = proof.kind if proof is not None else None
            assert written.get(type(self).__name__) in (None, stated), f"it runs against {proof}"


def assert_no_secret(exc: BaseException, secrets: Sequence[str]) -> None:
    """No secret stands in an error, its attributes, or what it was caused by."""
    shown = "".join(traceback.format_exception(exc))
    seen: set[int] = set()
    error: BaseException | None = exc
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        shown += f"{error!r} {error.args!r} {getattr(error, 'hint', '')} {getattr(error, 'where', '')}"
        error = error.__cause__ or error.__context__
    for secret in secrets:
        assert secret not in shown, "a secret stands in the error or in its cause"
