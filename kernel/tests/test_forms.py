"""Forms from structs: what is shown, what is taken, and what is kept secret."""

from typing import Annotated, Literal

import msgspec
import pytest
from dify_kernel.errors import BadInput
from dify_kernel.forms import HIDDEN, decode_form, form_fields, masked, needs_nothing, revealed
from dify_kernel.settings import Doc, Secret
from hypothesis import given
from hypothesis import strategies as st


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    api_key: Annotated[Secret, Doc("Key.", title="API key")]
    base_url: Annotated[str, Doc("Address.", max_length=20)] = "https://x.test"
    timeout: Annotated[float, Doc("Seconds.", gt=0)] = 60
    stream: bool = True
    region: Literal["eu", "us"] = "eu"
    organisation: str | None = None


class Optional(msgspec.Struct):
    path: str = ""


class WithSecret(msgspec.Struct):
    key: Secret = Secret()


KEY = "sk-0123456789abcdef"


def test_fields_tell_the_console_everything():
    fields = {item.variable: item for item in form_fields(Credentials)}
    assert [item.type for item in fields.values()] == [
        "secret-input",
        "text-input",
        "number-input",
        "switch",
        "select",
        "text-input",
    ]
    assert (fields["api_key"].label, fields["api_key"].help, fields["api_key"].required) == ("API key", "Key.", True)
    assert fields["base_url"].label == "Base url"
    assert fields["base_url"].default == "https://x.test"
    assert fields["region"].options == ["eu", "us"]
    assert fields["api_key"].default is None


def test_texts_become_what_the_field_asks_for():
    form = decode_form(Credentials, {"api_key": KEY, "timeout": "2.5", "stream": "false", "region": "us"})
    assert (form.timeout, form.stream, form.region) == (2.5, False, "us")
    assert form.api_key.reveal() == KEY


def test_an_empty_text_counts_as_not_entered():
    assert decode_form(Credentials, {"api_key": KEY, "base_url": "", "organisation": None}).base_url == "https://x.test"
    with pytest.raises(BadInput, match="api_key is required"):
        decode_form(Credentials, {"api_key": ""})


def test_an_unknown_field_is_named_with_the_known_ones():
    with pytest.raises(BadInput, match=r"'apikey'.*Known fields: api_key, base_url"):
        decode_form(Credentials, {"apikey": KEY})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"region": "mars"}, "region"),
        ({"base_url": "x" * 21}, "base_url"),
        ({"api_key": 5}, "api_key"),
        ({"api_key": HIDDEN}, "api_key"),
    ],
)
def test_a_wrong_value_names_its_field(values, field):
    with pytest.raises(BadInput) as caught:
        decode_form(Credentials, {"api_key": KEY, **values})
    assert caught.value.where["field"] == field
    assert KEY not in str(caught.value)


def test_a_hidden_secret_is_kept():
    kept = decode_form(Credentials, {"api_key": KEY})
    changed = decode_form(Credentials, {"api_key": HIDDEN, "region": "us"}, kept=kept)
    assert (changed.api_key.reveal(), changed.region) == (KEY, "us")


def test_secrets_show_only_their_end():
    form = decode_form(Credentials, {"api_key": KEY})
    assert masked(form)["api_key"] == "************cdef"
    assert masked(decode_form(Credentials, {"api_key": "short"}))["api_key"] == "************"
    assert masked(WithSecret())["key"] == ""
    assert KEY not in str(masked(form)) + repr(form)


@given(st.text(min_size=1).filter(lambda text: text != HIDDEN), st.floats(min_value=0.1, max_value=1e6))
def test_what_is_revealed_decodes_again(key, timeout):
    form = Credentials(api_key=Secret(key), timeout=timeout)
    assert decode_form(Credentials, revealed(form)) == form


def test_a_form_may_need_nothing():
    assert needs_nothing(Optional)
    assert not needs_nothing(WithSecret)
    assert not needs_nothing(Credentials)
