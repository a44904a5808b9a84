"""The calls of S3 that read: buckets, the objects of a folder page by page, and one object.

https://docs.aws.amazon.com/AmazonS3/latest/API: version 4 signatures, the bucket in the path. The library of AWS signs,
and the HTTP port of the host sends, so that the host decides which addresses are reached.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote, unquote_plus, urlencode

import msgspec
from dify_kernel.contracts.datasource_http import Arriving, ask, asking, refusal
from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpResponse, Timeout
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_drive.answers import EVERYTHING, is_path, parsed, text_of
from dify_datasources_drive.settings import S3Credentials

__all__ = ["S3Api", "S3Object", "S3Page"]

_SERVICE: Final = "The S3 service"
_TIMEOUT: Final = Timeout(connect=10, read=60, total=90)
_FILE_TIMEOUT: Final = Timeout(connect=10, read=60)
_MOST_BYTES: Final = 20 * 1024 * 1024


class S3Object(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a list."""

    key: str
    size: int
    version: str


class S3Page(msgspec.Struct, frozen=True, kw_only=True):
    """Objects right below a prefix, and prefixes below it; `token` asks for more, empty at the end."""

    objects: list[S3Object]
    prefixes: list[str]
    token: str


class S3Api:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: S3Credentials) -> None:
        self._http, self._credentials = http, credentials

    async def buckets(self) -> list[str]:
        """The names of all buckets, sorted."""
        root = await self._xml("/", {}, "ListAllMyBucketsResult")
        return sorted(text_of(item, "Name") for item in root.iterfind("{*}Buckets/{*}Bucket"))

    async def page(self, bucket: str, prefix: str, limit: int, token: str = "") -> S3Page:
        """One page of what is right below a prefix, by key."""
        query = {"list-type": "2", "delimiter": "/", "max-keys": str(limit), "encoding-type": "url"}
        query |= {"prefix": prefix} if prefix else {}
        query |= {"continuation-token": token} if token else {}
        root = await self._xml(_path(bucket), query, "ListBucketResult")
        plain = unquote_plus if text_of(root, "EncodingType") == "url" else str
        return S3Page(
            objects=[
                S3Object(key=plain(text_of(item, "Key")), size=_number(text_of(item, "Size")), version=_tag(item))
                for item in root.iterfind("{*}Contents")
            ],
            prefixes=[plain(text_of(item, "Prefix")) for item in root.iterfind("{*}CommonPrefixes")],
            token=text_of(root, "NextContinuationToken") if text_of(root, "IsTruncated") == "true" else "",
        )

    async def version(self, bucket: str, key: str) -> str:
        """The entity tag of an object."""
        request = await self._request("HEAD", _path(bucket, key), {}, timeout=_TIMEOUT)
        response = await ask(self._http, request, _SERVICE)
        if response.status != 200:
            raise refusal(response, _SERVICE, words="")
        return (response.header("etag") or "").strip('"')

    async def file(self, bucket: str, key: str) -> AbstractAsyncContextManager[Arriving]:
        """One object while it arrives."""
        request = await self._request("GET", _path(bucket, key), {}, timeout=_FILE_TIMEOUT, max_bytes=EVERYTHING)
        return asking(self._http, request, _SERVICE, secret=self._credentials.secret_access_key, words_of=_words)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _xml(self, path: str, query: Mapping[str, str], name: str) -> Any:
        """The root of an answer, which has that name."""
        request = await self._request("GET", path, query, timeout=_TIMEOUT, max_bytes=_MOST_BYTES)
        response = await ask(self._http, request, _SERVICE)
        if response.status != 200:
            raise refusal(response, _SERVICE, secret=self._credentials.secret_access_key, words=_words(response))
        root = parsed(response.content)
        if root is None or not str(root.tag).endswith(name):
            raise DatasourceUnavailable(
                f"{_SERVICE} did not answer as one: no {name}.", hint="Check endpoint_url, and try again later."
            )
        return root

    async def _request(self, method: str, path: str, query: Mapping[str, str], **more: Any) -> HttpRequest:
        """A signed request without a body."""
        if not self._credentials.address.startswith(("http://", "https://")):
            raise DatasourceError("The address of the service is none.", hint="Begin endpoint_url with https://.")
        url = self._credentials.address + path
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="~")
        headers = await asyncio.to_thread(_signed, method, url, self._credentials)
        return HttpRequest(method=method, url=url, headers=headers, **more)


def _signed(method: str, url: str, credentials: S3Credentials) -> list[tuple[str, str]]:
    """The headers of a request with its signature. In a thread: the library is loaded by the first call."""
    auth = importlib.import_module("botocore.auth")
    request = importlib.import_module("botocore.awsrequest").AWSRequest(method=method, url=url)
    keys = importlib.import_module("botocore.credentials").Credentials(
        credentials.access_key_id.reveal(), credentials.secret_access_key.reveal()
    )
    auth.S3SigV4Auth(keys, "s3", credentials.region_name).add_auth(request)
    return [(name, str(value)) for name, value in request.headers.items()]


def _path(bucket: str, key: str = "") -> str:
    if not bucket.strip(".") or not is_path(key):
        raise DatasourceItemNotFound("There is no such object.", hint="Choose one of the list.")
    return f"/{quote(bucket, safe='~')}" + (f"/{quote(key, safe='/~')}" if key else "")


def _tag(item: Any) -> str:
    return text_of(item, "ETag").strip('"')


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _words(response: HttpResponse) -> str:
    """What the service says of its error."""
    root = parsed(response.content) if response.content else None
    if root is None:
        return ""
    return " ".join(found for name in ("Code", "Message") if (found := text_of(root, name)))
