"""Structs from JSON and back: secrets stay secrets, errors name the field and show no value."""

import msgspec
import pytest
from dify_kernel.errors import BadInput
from dify_kernel.settings import Secret, decode_struct, encode_struct


class Login(msgspec.Struct, frozen=True, kw_only=True):
    key: Secret
    base: str = ""
    retries: int = 1


def test_a_struct_goes_there_and_back():
    login = decode_struct({"key": "hush", "retries": "5", "unknown": 1}, Login)
    assert login == Login(key=Secret("hush"), retries=5)
    assert "hush" not in repr(login)
    assert encode_struct(login) == {"key": "hush", "base": "", "retries": 5}


@pytest.mark.parametrize(
    ("data", "words"),
    [({"key": 5}, r"\$\.key"), ({"key": "hush", "retries": "hush"}, r"\$\.retries"), ({"base": "x"}, "`key`")],
)
def test_a_bad_field_is_named_without_values(data, words):
    with pytest.raises(BadInput, match=words) as caught:
        decode_struct(data, Login)
    assert "hush" not in str(caught.value)
