"""The conformance suites of authenticators and login methods: subclass one and say what good credentials look like.

    class TestContract(AuthenticatorSuite):
        authenticator = MyAuthenticator

        def enrol(self, ports, tenant_id):
            ports.add_key("key-" + tenant_id, tenant_id=tenant_id)
            return Enrolled(request=AuthRequest(headers={"x-key": "key-" + tenant_id}), secrets=["key-" + tenant_id])

        def wrong(self):
            return {"unknown key": AuthRequest(headers={"x-key": "nobody"})}

`ports` is a `MemoryAuth`, new for each test.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import msgspec
import pytest

from dify_kernel.contracts.auth import Authenticator, AuthRequest, LoginMethod, Principal
from dify_kernel.errors import BadInput, DifyError, Unauthorized
from dify_kernel.forms import decode_form, form_fields
from dify_kernel.settings import Secret
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.memory_auth import MemoryAuth

__all__ = ["AuthenticatorSuite", "Enrolled", "LoginMethodSuite", "Person"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_STRANGE_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"user-agent": "test", "accept": "*/*"},
    {"x-nobody-reads-this": "Bearer abc"},
)


class Outage(DifyError):
    """What the ports raise when the database is away."""

    code = "outage"
    status = 503
    retryable = True


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """Somebody that the ports know: a request with their credentials, and the secrets that no error may hold."""

    request: AuthRequest
    secrets: Sequence[str] = ()


class AuthenticatorSuite(ContractSuite, suite=True):
    """What every authenticator owes the host."""

    authenticator: ClassVar[type[Authenticator]]

    def enrol(self, ports: MemoryAuth, tenant_id: str) -> Enrolled:
        """Let the ports know somebody of that workspace."""
        raise NotImplementedError

    def wrong(self) -> Mapping[str, AuthRequest]:
        """Requests by name with credentials of this kind that are wrong, whoever is enrolled."""
        raise NotImplementedError

    def test_has_a_public_name(self) -> None:
        """Troubleshooting: `name` is the entry point's: lower case, digits, `-` and `_`."""
        assert _NAME.fullmatch(self.authenticator.name)

    async def test_recognises_good_credentials(self) -> None:
        ports = MemoryAuth()
        enrolled = self.enrol(ports, "tenant-a")
        principal = await self.authenticator(ports).authenticate(enrolled.request)
        assert isinstance(principal, Principal)
        assert principal.tenant_id == "tenant-a"
        assert principal.id

    async def test_a_key_opens_no_more_than_it_is_for(self) -> None:
        """Troubleshooting: give the principal the `app_id` and `dataset_id` of the key's record."""
        ports = MemoryAuth()
        enrolled = self.enrol(ports, "tenant-a")
        for app_id, dataset_id in (("app-a", None), (None, "dataset-a"), (None, None)):
            kind: Literal["app", "dataset"] = "dataset" if app_id is None else "app"
            for token, record in ports.keys.items():
                ports.keys[token] = msgspec.structs.replace(record, type=kind, app_id=app_id, dataset_id=dataset_id)
            principal = await self.authenticator(ports).authenticate(enrolled.request)
            assert isinstance(principal, Principal)
            if ports.keys:
                assert (principal.kind, principal.app_id, principal.dataset_id) == (kind, app_id, dataset_id)

    async def test_is_silent_about_requests_without_credentials(self) -> None:
        """Troubleshooting: return None, so that another authenticator is asked."""
        ports = MemoryAuth()
        self.enrol(ports, "tenant-a")
        for headers in _STRANGE_HEADERS:
            request = AuthRequest(headers=headers, path="/v1/parameters", client="192.0.2.1")
            assert await self.authenticator(ports).authenticate(request) is None

    async def test_refuses_wrong_credentials(self) -> None:
        """Troubleshooting: None means that there are no credentials of this kind; wrong ones raise Unauthorized."""
        ports = MemoryAuth()
        self.enrol(ports, "tenant-a")
        requests = self.wrong()
        assert requests, "give at least one request with wrong credentials"
        for name, request in requests.items():
            with pytest.raises(Unauthorized):
                pytest.fail(f"{name}: {await self.authenticator(ports).authenticate(request)}")

    async def test_refuses_credentials_that_were_revoked(self) -> None:
        """Troubleshooting: keep nothing between two requests; what may be cached is the host's to cache."""
        ports = MemoryAuth()
        enrolled = self.enrol(ports, "tenant-a")
        authenticator = self.authenticator(ports)
        assert await authenticator.authenticate(enrolled.request) is not None
        ports.keys.clear()
        ports.accounts.clear()
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(enrolled.request)

    async def test_keeps_callers_apart(self) -> None:
        """Many requests of many workspaces at once on one object: each gets its own principal."""
        ports = MemoryAuth()
        tenants = [f"tenant-{number}" for number in range(20)]
        requests = [self.enrol(ports, tenant).request for tenant in tenants]
        authenticator = self.authenticator(ports)
        found = await asyncio.gather(*[authenticator.authenticate(request) for request in requests])
        assert [principal.tenant_id for principal in found if principal] == tenants

    async def test_an_outage_is_not_a_refusal(self) -> None:
        """Troubleshooting: let errors of the ports through; a caller with good credentials is not unauthorized."""
        ports = MemoryAuth()
        enrolled = self.enrol(ports, "tenant-a")
        with ports.failing(Outage("away")), pytest.raises(Outage):
            await self.authenticator(ports).authenticate(enrolled.request)

    async def test_a_refusal_does_not_repeat_the_secret(self) -> None:
        ports = MemoryAuth()
        enrolled = self.enrol(ports, "tenant-a")
        ports.keys.clear()
        ports.accounts.clear()
        with pytest.raises(Unauthorized) as caught:
            await self.authenticator(ports).authenticate(enrolled.request)
        _holds_none(caught.value, enrolled.secrets)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who can log in: the account's id, what they enter, and the secrets that no error may hold."""

    account_id: str
    entered: Mapping[str, Any]
    secrets: Sequence[str] = field(default_factory=tuple)


class LoginMethodSuite(ContractSuite, suite=True):
    """What every login method owes the host."""

    method: ClassVar[type[LoginMethod]]

    def enrol(self, ports: MemoryAuth, email: str, *, status: str = "active") -> Person:
        """Let the ports know an account of that address that can log in by this method."""
        raise NotImplementedError

    def wrong(self, ports: MemoryAuth, person: Person) -> Mapping[str, Mapping[str, Any]]:
        """Forms by name that must be refused: an unknown account, a wrong secret, …"""
        raise NotImplementedError

    def test_has_a_name_and_a_label(self) -> None:
        assert _NAME.fullmatch(self.method.name)
        assert self.method.label.strip()

    def test_the_form_can_be_shown(self) -> None:
        """Troubleshooting: every field of `Form` needs a `Doc`, as the login page is drawn from it."""
        for item in form_fields(self.method.Form):
            assert item.help, f"{item.variable} has no Doc"

    async def test_logs_in(self) -> None:
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        assert await self._login(ports, person.entered) == person.account_id

    async def test_the_address_may_be_in_any_case(self) -> None:
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        entered = {
            name: value.upper() if value == "ada@example.com" else value for name, value in person.entered.items()
        }
        assert await self._login(ports, entered) == person.account_id

    async def test_every_refusal_reads_the_same(self) -> None:
        """Troubleshooting: one sentence for every reason, or strangers learn who has an account."""
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        refusals = {name: await self._refusal(ports, form) for name, form in self.wrong(ports, person).items()}
        refusals["banned account"] = await self._refusal(ports, self._banned(ports))
        assert len(refusals) > 1, "give at least one form that must be refused"
        assert len({(type(error), error.code, str(error)) for error in refusals.values()}) == 1, refusals

    async def test_every_refusal_takes_the_same_work(self) -> None:
        """Troubleshooting: call `verify_password` once whatever is wrong, with None when there is no account."""
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        forms = {"good": person.entered, **self.wrong(ports, person), "banned": self._banned(ports)}
        work = {}
        for name, form in forms.items():
            before = (ports.comparisons, ports.lookups)
            with contextlib.suppress(Unauthorized):
                await self._login(ports, form)
            work[name] = (ports.comparisons - before[0], ports.lookups - before[1])
        assert len(set(work.values())) == 1, work

    async def test_a_banned_account_stays_out(self) -> None:
        for status in ("banned", "closed"):
            ports = MemoryAuth()
            await self._refusal(ports, self.enrol(ports, "eve@example.com", status=status).entered)

    async def test_people_who_log_in_at_once_are_kept_apart(self) -> None:
        ports = MemoryAuth()
        people = [self.enrol(ports, f"user{number}@example.com") for number in range(20)]
        method = self.method(ports)
        forms = [decode_form(self.method.Form, person.entered) for person in people]
        found = await asyncio.gather(*[method.login(form) for form in forms])
        assert found == [person.account_id for person in people]

    async def test_an_outage_is_not_a_refusal(self) -> None:
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        with ports.failing(Outage("away")), pytest.raises(Outage):
            await self._login(ports, person.entered)

    async def test_secrets_stay_secret(self) -> None:
        """Troubleshooting: a field for a secret is a `Secret`, and no message repeats what was entered."""
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        form = decode_form(self.method.Form, person.entered)
        for secret in person.secrets:
            assert secret not in repr(form), "a secret field is not a Secret"
        error = await self._refusal(ports, {**person.entered, **self._strange(person)})
        _holds_none(error, [*person.secrets, *self._strange(person).values()])

    async def test_an_incomplete_form_is_bad_input(self) -> None:
        ports = MemoryAuth()
        person = self.enrol(ports, "ada@example.com")
        for item in form_fields(self.method.Form):
            if item.required:
                rest = {name: value for name, value in person.entered.items() if name != item.variable}
                with pytest.raises(BadInput):
                    decode_form(self.method.Form, rest)

    def _banned(self, ports: MemoryAuth) -> Mapping[str, Any]:
        return self.enrol(ports, "eve@example.com", status="banned").entered

    def _strange(self, person: Person) -> dict[str, str]:
        """Other secrets than the person's own."""
        return {name: f"{value}-and-more" for name, value in person.entered.items() if value in person.secrets}

    async def _login(self, ports: MemoryAuth, entered: Mapping[str, Any]) -> str:
        return await self.method(ports).login(decode_form(self.method.Form, entered))

    async def _refusal(self, ports: MemoryAuth, entered: Mapping[str, Any]) -> Unauthorized:
        try:
            account_id = await self._login(ports, entered)
        except Unauthorized as exc:
            return exc
        raise AssertionError(f"{account_id} was let in")


def _holds_none(error: DifyError, secrets: Sequence[Any]) -> None:
    held = f"{error} {error!r} {error.where} {_clear(error.where)}"
    for secret in secrets:
        assert str(secret) not in held, "an error repeats a secret"


def _clear(where: Mapping[str, Any]) -> str:
    return " ".join(
        value.reveal() if isinstance(value, Secret) else str(msgspec.to_builtins(value, enc_hook=str))
        for value in where.values()
    )
