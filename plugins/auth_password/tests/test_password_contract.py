"""The password login keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_auth_password.method import PasswordLogin
from dify_kernel.forms import form_fields
from dify_kernel.registry import Registry
from dify_kernel.testing.auth import LoginMethodSuite, Person
from dify_kernel.testing.memory_auth import MemoryAuth

PASSWORD = "correct horse 1"


class TestContract(LoginMethodSuite):
    method = PasswordLogin

    def enrol(self, ports: MemoryAuth, email: str, *, status: str = "active") -> Person:
        account = ports.add_account(email, PASSWORD, status=status)
        return Person(account_id=account.id, entered={"email": email, "password": PASSWORD}, secrets=[PASSWORD])

    def wrong(self, ports: MemoryAuth, person: Person) -> Mapping[str, Mapping[str, Any]]:
        ports.add_account("elsewhere@example.com", None)
        return {
            "unknown address": {**person.entered, "email": "nobody@example.com"},
            "wrong password": {**person.entered, "password": "incorrect horse 1"},
            "logs in elsewhere": {**person.entered, "email": "elsewhere@example.com"},
        }


def test_the_login_page_asks_for_two_things() -> None:
    fields = form_fields(PasswordLogin.Form)
    assert [(item.variable, item.type, item.required) for item in fields] == [
        ("email", "text-input", True),
        ("password", "secret-input", True),
    ]


def test_the_entry_point_offers_it() -> None:
    assert Registry().login_methods()["password"] is PasswordLogin
