"""Where the instance is, and how new indexes are made."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["LindormSettings"]


class LindormSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Lindorm store, prefix `LINDORM_`."""

    url: Annotated[str, Doc("Address of the search engine of the instance.")] = ""
    username: Annotated[str, Doc("User; empty sends no credentials.")] = ""
    password: Annotated[Secret, Doc("Password of the user.")] = Secret()
    index_type: Annotated[str, Doc("Method of new indexes: `hnsw` or `flat`.")] = "hnsw"
    distance_type: Annotated[str, Doc("Distance of new indexes; vectors have length 1, so all order alike.")] = "l2"
    using_ugc: Annotated[bool, Doc("Keep the vectors of each knowledge base apart within an index.")] = True
    query_timeout: Annotated[float, Doc("Seconds until a search is given up.", gt=0)] = 2.0
