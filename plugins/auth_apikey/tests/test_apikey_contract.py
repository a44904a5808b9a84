"""The API key authenticator keeps the contract, and reads the header as Dify's Service API does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from dify_auth_apikey.authenticator import ApiKeyAuthenticator
from dify_kernel.contracts.auth import AuthRequest, Principal
from dify_kernel.errors import Unauthorized
from dify_kernel.registry import Registry
from dify_kernel.testing.auth import AuthenticatorSuite, Enrolled
from dify_kernel.testing.memory_auth import MemoryAuth

NOT_BEARER = "Authorization header must be provided and start with 'Bearer'"


def bearer(text: str) -> AuthRequest:
    return AuthRequest(headers={"authorization": text})


class TestContract(AuthenticatorSuite):
    authenticator = ApiKeyAuthenticator

    def enrol(self, ports: MemoryAuth, tenant_id: str) -> Enrolled:
        token = f"app-key-of-{tenant_id}"
        ports.add_key(token, tenant_id=tenant_id, app_id=f"app-of-{tenant_id}")
        return Enrolled(request=bearer(f"Bearer {token}"), secrets=[token])

    def wrong(self) -> Mapping[str, AuthRequest]:
        return {"unknown": bearer("Bearer app-nobody"), "scheme": bearer("Basic YTpi"), "no key": bearer("Bearer ")}


@pytest.mark.parametrize("header", ["Bearer k", "bearer k", "BEARER k", "Bearer   k ", " Bearer k"])
async def test_the_scheme_is_compared_in_any_case(header: str) -> None:
    ports = MemoryAuth()
    key = ports.add_key("k", tenant_id="t", app_id="a")
    principal = await ApiKeyAuthenticator(ports).authenticate(bearer(header))
    assert principal == Principal(kind="app", id=key.id, tenant_id="t", app_id="a")


async def test_a_knowledge_key_is_of_its_own_kind() -> None:
    ports = MemoryAuth()
    key = ports.add_key("d", tenant_id="t")
    principal = await ApiKeyAuthenticator(ports).authenticate(bearer("Bearer d"))
    assert principal == Principal(kind="dataset", id=key.id, tenant_id="t")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", NOT_BEARER),
        ("Bearer", NOT_BEARER),
        ("Bearer ", NOT_BEARER),
        ("k", NOT_BEARER),
        ("Basic YTpi", "Authorization scheme must be 'Bearer'"),
        ("Bearer wrong", "Access token is invalid"),
        ("Bearer " + "x" * 10_000, "Access token is invalid"),
    ],
)
async def test_messages_are_the_references(header: str, message: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await ApiKeyAuthenticator(MemoryAuth()).authenticate(bearer(header))
    assert caught.value.message == message
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")


def test_the_entry_point_offers_it() -> None:
    assert Registry().authenticators()["apikey"] is ApiKeyAuthenticator
