"""Where Milvus is."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["MilvusSettings"]


class MilvusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Milvus store, prefix `MILVUS_`."""

    uri: Annotated[str, Doc("Address of the server, or a file that ends in `.db` for Milvus Lite.")] = (
        "http://127.0.0.1:19530"
    )
    token: Annotated[Secret, Doc("Token or API key; it wins over user and password.")] = Secret()
    user: Annotated[str, Doc("User, if the server asks for one.")] = ""
    password: Annotated[Secret, Doc("The user's password.")] = Secret()
    database: Annotated[str, Doc("Database; it must exist.")] = "default"
    enable_hybrid_search: Annotated[
        bool, Doc("Index words (Milvus 2.5 or newer); without it words are found by reading the knowledge base.")
    ] = True
    analyzer_params: Annotated[
        str, Doc("Without effect: words of every script are found without an analyzer of the server's.")
    ] = ""

    @property
    def local(self) -> bool:
        """Whether the engine runs in this process, on a file."""
        return "://" not in self.uri

    def arguments(self) -> dict[str, Any]:
        """What the client is made with."""
        if self.local:
            return {"uri": self.uri}
        token = self.token.reveal()
        known = {"token": token} if token else {"user": self.user, "password": self.password.reveal()}
        return {"uri": self.uri, "db_name": self.database, **known}
