"""The calls of WebDAV that read (RFC 4918): the properties of a resource and what is in it, and one file."""

from __future__ import annotations

import base64
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec
from dify_kernel.contracts.datasource_http import Arriving, ask, asking, refusal
from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpResponse, Timeout
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable

from dify_datasources_drive.answers import EVERYTHING, is_path, parsed, text_of
from dify_datasources_drive.settings import WebdavCredentials

__all__ = ["Resource", "WebdavApi"]

_SERVER: Final = "The WebDAV server"
_TIMEOUT: Final = Timeout(connect=10, read=60, total=90)
_FILE_TIMEOUT: Final = Timeout(connect=10, read=60)
_MOST_BYTES: Final = 20 * 1024 * 1024
_WANTED: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/>'
    b"<getcontenttype/><getetag/><getlastmodified/></prop></propfind>"
)


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder; `path` is below the folder of the credentials, that of a folder ends with a slash."""

    path: str
    is_folder: bool
    size: int
    media_type: str
    version: str


class WebdavApi:
    """Asks with one set of credentials."""

    def __init__(self, http: HttpClient, credentials: WebdavCredentials) -> None:
        self._http, self._credentials = http, credentials

    async def inside(self, folder: str) -> list[Resource]:
        """What is right in a folder, sorted by path; the folder of the credentials is the empty one."""
        found = await self._properties(folder, depth=1)
        return sorted((item for item in found if item.path != folder), key=lambda item: item.path)

    async def one(self, path: str) -> Resource:
        """One resource."""
        found = await self._properties(path, depth=0)
        if not found:
            raise DatasourceItemNotFound(f"{_SERVER} tells nothing of it.", hint="Choose a file of the list.")
        return found[0]

    def file(self, path: str) -> AbstractAsyncContextManager[Arriving]:
        """A file while it arrives."""
        request = self._request("GET", path, [], timeout=_FILE_TIMEOUT, max_bytes=EVERYTHING)
        return asking(self._http, request, _SERVER, secret=self._credentials.password, words_of=_words)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _properties(self, path: str, *, depth: int) -> list[Resource]:
        headers = [("Depth", str(depth)), ("Content-Type", "application/xml; charset=utf-8")]
        request = self._request("PROPFIND", path, headers, content=_WANTED, timeout=_TIMEOUT, max_bytes=_MOST_BYTES)
        response = await ask(self._http, request, _SERVER)
        if response.status != 207:
            if 200 <= response.status < 300 or response.status in (405, 501):
                raise DatasourceError("The address is of no WebDAV folder.", hint="Check base_url.")
            raise refusal(response, _SERVER, secret=self._credentials.password, words=_words(response))
        root = parsed(response.content)
        if root is None or not str(root.tag).endswith("multistatus"):
            raise DatasourceUnavailable(
                f"{_SERVER} did not answer as one.", hint="Check base_url, and try again later."
            )
        base = unquote(urlsplit(self._credentials.address).path)
        found = [_resource(item, base) for item in root.iterfind("{DAV:}response")]
        return [item for item in found if item is not None]

    def _request(self, method: str, path: str, headers: list[tuple[str, str]], **more: Any) -> HttpRequest:
        address, username = self._credentials.address, self._credentials.username
        if not address.startswith(("http://", "https://")):
            raise DatasourceError("The address of the folder is none.", hint="Begin base_url with https://.")
        if not is_path(path) or path.startswith("/"):
            raise DatasourceItemNotFound("There is no such file.", hint="Choose one of the list.")
        if username or self._credentials.password:
            pair = f"{username}:{self._credentials.password.reveal()}".encode()
            headers = [*headers, ("Authorization", f"Basic {base64.b64encode(pair).decode()}")]
        return HttpRequest(method=method, url=address + quote(path, safe="/~"), headers=headers, **more)


def _resource(response: Any, base: str) -> Resource | None:
    """One resource of an answer; None for what is not below the base, and for what has no properties."""
    path = unquote(urlsplit(text_of(response, "href")).path)
    if f"{path}/" == base:
        path = base
    properties = _found(response)
    if properties is None or not path.startswith(base):
        return None
    is_folder = properties.find("{DAV:}resourcetype/{DAV:}collection") is not None
    path = path.removeprefix(base)
    if is_folder and path and not path.endswith("/"):
        path += "/"
    length, tag = text_of(properties, "getcontentlength"), text_of(properties, "getetag")
    return Resource(
        path=path,
        is_folder=is_folder,
        size=int(length) if length.isdecimal() and not is_folder else 0,
        media_type=text_of(properties, "getcontenttype"),
        version=tag or f"{text_of(properties, 'getlastmodified')} {length}".strip(),
    )


def _found(response: Any) -> Any | None:
    """The properties that the resource has."""
    for part in response.iterfind("{DAV:}propstat"):
        if " 200 " in f"{text_of(part, 'status')} ":
            return part.find("{DAV:}prop")
    return None


def _words(response: HttpResponse) -> str:
    """What servers of the family of sabre/dav say; a page for people says nothing."""
    root = parsed(response.content) if response.content else None
    return "" if root is None or str(root.tag) != "{DAV:}error" else text_of(root, "message")
