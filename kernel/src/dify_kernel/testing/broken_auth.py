"""An authenticator and a login method that keep the contract, and variants that break one sentence of it each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec

from dify_kernel.contracts.auth import Authenticator, AuthPorts, AuthRequest, LoginMethod, Principal
from dify_kernel.errors import DifyError, Unauthorized
from dify_kernel.settings import Doc, Secret
from dify_kernel.testing.auth import AuthenticatorSuite, Enrolled, LoginMethodSuite, Person
from dify_kernel.testing.memory_auth import MemoryAuth

__all__ = ["BROKEN_AUTHENTICATORS", "BROKEN_LOGINS", "HeaderKey", "HeaderKeySuite", "PlainLogin", "PlainLoginSuite"]


class HeaderKey(Authenticator):
    """Reads a key off the header `x-key`."""

    name: ClassVar[str] = "header-key"

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        token = request.headers.get("x-key")
        if token is None:
            return None
        record = await self.ports.find_api_key(token)
        if record is None:
            raise Unauthorized("The key is not known.")
        return Principal(
            kind=record.type,
            id=record.id,
            tenant_id=record.tenant_id,
            app_id=record.app_id,
            dataset_id=record.dataset_id,
        )


class HeaderKeySuite(AuthenticatorSuite):
    """The suite as the author of HeaderKey would set it up."""

    authenticator = HeaderKey

    def enrol(self, ports: MemoryAuth, tenant_id: str) -> Enrolled:
        token = f"token-of-{tenant_id}"
        ports.add_key(token, tenant_id=tenant_id, app_id=f"app-of-{tenant_id}")
        return Enrolled(request=AuthRequest(headers={"x-key": token}), secrets=[token])

    def wrong(self) -> Mapping[str, AuthRequest]:
        return {"unknown": AuthRequest(headers={"x-key": "nobody"}), "empty": AuthRequest(headers={"x-key": ""})}


class _NoName(HeaderKey):
    name: ClassVar[str] = "Header Key"


class _RecognisesNobody(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        if await super().authenticate(request):
            raise Unauthorized("No.")
        return None


class _TenantOfItsOwn(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        principal = await super().authenticate(request)
        return principal and msgspec.structs.replace(principal, tenant_id="default")


class _WidensKeys(HeaderKey):
    """Lets a key of one knowledge base into all of its workspace."""

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        principal = await super().authenticate(request)
        return principal and msgspec.structs.replace(principal, dataset_id=None)


class _RefusesStrangers(HeaderKey):
    """Stands in the way of every other authenticator."""

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        principal = await super().authenticate(request)
        if principal is None:
            raise Unauthorized("There is no key.")
        return principal


class _SilentAboutWrong(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        try:
            return await super().authenticate(request)
        except Unauthorized:
            return None


class _AnyKey(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        token = request.headers.get("x-key")
        if token is None:
            return None
        record = await self.ports.find_api_key(token)
        return Principal(kind="app", id="x", tenant_id=record.tenant_id if record else "tenant-a")


class _Remembers(HeaderKey):
    def __init__(self, ports: AuthPorts) -> None:
        super().__init__(ports)
        self.seen: dict[str, Principal | None] = {}

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        token = request.headers.get("x-key", "")
        if token not in self.seen:
            self.seen[token] = await super().authenticate(request)
        return self.seen[token]


class _OneAtATime(HeaderKey):
    """Keeps the request on itself while it waits."""

    request: AuthRequest

    async def authenticate(self, request: AuthRequest) -> Principal | None:
        self.request = request
        if not await super().authenticate(request):
            return None
        return await super().authenticate(self.request)


class _OutageRefuses(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        try:
            return await super().authenticate(request)
        except DifyError as exc:
            raise Unauthorized("The key is not known.") from exc


class _RepeatsTheKey(HeaderKey):
    async def authenticate(self, request: AuthRequest) -> Principal | None:
        try:
            return await super().authenticate(request)
        except Unauthorized as exc:
            raise Unauthorized("The key is not known.", key=request.headers["x-key"]) from exc


#: Each broken authenticator with a test that must fail on it.
BROKEN_AUTHENTICATORS: Final[dict[str, tuple[type[HeaderKey], str]]] = {
    "no name": (_NoName, "test_has_a_public_name"),
    "recognises nobody": (_RecognisesNobody, "test_recognises_good_credentials"),
    "tenant of its own": (_TenantOfItsOwn, "test_recognises_good_credentials"),
    "widens keys": (_WidensKeys, "test_a_key_opens_no_more_than_it_is_for"),
    "refuses strangers": (_RefusesStrangers, "test_is_silent_about_requests_without_credentials"),
    "silent about wrong": (_SilentAboutWrong, "test_refuses_wrong_credentials"),
    "any key": (_AnyKey, "test_refuses_wrong_credentials"),
    "remembers": (_Remembers, "test_refuses_credentials_that_were_revoked"),
    "one at a time": (_OneAtATime, "test_keeps_callers_apart"),
    "outage refuses": (_OutageRefuses, "test_an_outage_is_not_a_refusal"),
    "repeats the key": (_RepeatsTheKey, "test_a_refusal_does_not_repeat_the_secret"),
}


class PlainForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the reference login asks for."""

    email: Annotated[str, Doc("Address.")]
    password: Annotated[Secret, Doc("Password.")]


class PlainLogin(LoginMethod):
    """An address and a password, compared by the ports."""

    name: ClassVar[str] = "plain"
    label: ClassVar[str] = "Plain login"
    Form: ClassVar[type[msgspec.Struct]] = PlainForm

    async def login(self, form: Any) -> str:
        account = await self.ports.find_account(form.email)
        fits = await self.ports.verify_password(account.password if account else None, form.password.reveal())
        if account is None or not fits or account.status in ("banned", "closed"):
            raise Unauthorized("No.")
        return account.id


class PlainLoginSuite(LoginMethodSuite):
    """The suite as the author of PlainLogin would set it up."""

    method = PlainLogin

    def enrol(self, ports: MemoryAuth, email: str, *, status: str = "active") -> Person:
        account = ports.add_account(email, "secret-99", status=status)
        entered = {"email": email, "password": "secret-99"}
        return Person(account_id=account.id, entered=entered, secrets=["secret-99"])

    def wrong(self, ports: MemoryAuth, person: Person) -> Mapping[str, Mapping[str, Any]]:
        ports.add_account("elsewhere@example.com", None)
        return {
            "unknown": {**person.entered, "email": "nobody@example.com"},
            "wrong password": {**person.entered, "password": "secret-98"},
            "logs in elsewhere": {**person.entered, "email": "elsewhere@example.com"},
        }


class _NoLabel(PlainLogin):
    label: ClassVar[str] = ""


class _BareForm(msgspec.Struct, frozen=True, kw_only=True):
    email: str
    password: Secret


class _NoDoc(PlainLogin):
    Form: ClassVar[type[msgspec.Struct]] = _BareForm


class _FirstAccount(PlainLogin):
    async def login(self, form: Any) -> str:
        await super().login(form)
        return "account-0"


class _CaseMatters(PlainLogin):
    async def login(self, form: Any) -> str:
        account = await self.ports.find_account(form.email)
        if account is not None and account.email != form.email:
            await self.ports.verify_password(None, form.password.reveal())
            raise Unauthorized("No.")
        return await super().login(form)


class _SaysWhy(PlainLogin):
    async def login(self, form: Any) -> str:
        if await self.ports.find_account(form.email) is None:
            await self.ports.verify_password(None, form.password.reveal())
            raise Unauthorized("There is no such account.")
        return await super().login(form)


class _Hurries(PlainLogin):
    async def login(self, form: Any) -> str:
        account = await self.ports.find_account(form.email)
        if account is None or not await self.ports.verify_password(account.password, form.password.reveal()):
            raise Unauthorized("No.")
        if account.status != "active":
            raise Unauthorized("No.")
        return account.id


class _LetsBannedIn(PlainLogin):
    async def login(self, form: Any) -> str:
        account = await self.ports.find_account(form.email)
        fits = await self.ports.verify_password(account.password if account else None, form.password.reveal())
        if account is None or not fits:
            raise Unauthorized("No.")
        return account.id


class _SharedForm(PlainLogin):
    form: Any

    async def login(self, form: Any) -> str:
        self.form = form
        await super().login(form)
        return await super().login(self.form)


class _OutageRefusesLogin(PlainLogin):
    async def login(self, form: Any) -> str:
        try:
            return await super().login(form)
        except DifyError as exc:
            raise Unauthorized("No.") from exc


class _OpenForm(msgspec.Struct, frozen=True, kw_only=True):
    email: Annotated[str, Doc("Address.")]
    password: Annotated[str, Doc("Password.")]


class _OpenSecret(PlainLogin):
    Form: ClassVar[type[msgspec.Struct]] = _OpenForm

    async def login(self, form: Any) -> str:
        return await super().login(PlainForm(email=form.email, password=Secret(form.password)))


class _RepeatsThePassword(PlainLogin):
    async def login(self, form: Any) -> str:
        try:
            return await super().login(form)
        except Unauthorized as exc:
            raise Unauthorized("No.", entered=form.password) from exc


#: Each broken login method with a test that must fail on it.
BROKEN_LOGINS: Final[dict[str, tuple[type[PlainLogin], str]]] = {
    "no label": (_NoLabel, "test_has_a_name_and_a_label"),
    "no doc": (_NoDoc, "test_the_form_can_be_shown"),
    "first account": (_FirstAccount, "test_logs_in"),
    "case matters": (_CaseMatters, "test_the_address_may_be_in_any_case"),
    "says why": (_SaysWhy, "test_every_refusal_reads_the_same"),
    "hurries": (_Hurries, "test_every_refusal_takes_the_same_work"),
    "lets banned in": (_LetsBannedIn, "test_a_banned_account_stays_out"),
    "shared form": (_SharedForm, "test_people_who_log_in_at_once_are_kept_apart"),
    "outage refuses": (_OutageRefusesLogin, "test_an_outage_is_not_a_refusal"),
    "open secret": (_OpenSecret, "test_secrets_stay_secret"),
    "repeats the password": (_RepeatsThePassword, "test_secrets_stay_secret"),
}
