"""Links to forms: who holds one may answer that form, once, without any other credentials.

A token is made anew from the form's id each time it is needed, and kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from typing import Final

from dify_kernel.settings import Secret

from dify_host.human.errors import FormNotFound
from dify_host.net.crypto import derive_key

__all__ = ["FormLinks"]

_SIGNATURE: Final = 20  # bytes: 160 bits nobody guesses
_ID: Final = 16


class FormLinks:
    """Makes and reads tokens; `base` is the public address of the pages."""

    def __init__(self, secret_key: str, base: str) -> None:
        self._secret = Secret(secret_key)
        self._base = base.rstrip("/")

    def token(self, form_id: str) -> str:
        """The token of a form: its id, and a signature of it, in URL-safe base64."""
        raw = uuid.UUID(form_id).bytes
        return base64.urlsafe_b64encode(raw + self._sign(raw)).decode()

    def form_id(self, token: str) -> str:
        """The form that a token is for; FormNotFound for any other text."""
        try:
            data = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise FormNotFound("Form not found") from exc
        raw, signature = data[:_ID], data[_ID:]
        if len(raw) != _ID or not hmac.compare_digest(signature, self._sign(raw)):
            raise FormNotFound("Form not found")
        return str(uuid.UUID(bytes=raw))

    def url(self, form_id: str) -> str:
        """The address of the form's page."""
        return f"{self._base}/form/{self.token(form_id)}"

    def _sign(self, raw: bytes) -> bytes:
        return hmac.digest(derive_key(self._secret.reveal(), "human-input-form"), raw, "sha256")[:_SIGNATURE]
