"""WebDAV: what servers answer differently, and what is never asked of them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from dify_datasources_drive.provider import WebdavSources
from dify_datasources_drive.settings import WebdavCredentials
from dify_datasources_drive.webdav_drive import WebdavDrive
from dify_kernel.contracts.http import HttpResponse
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
)
from dify_kernel.settings import Secret
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.plain_http import PlainHttpClient

FAKE = WebdavCredentials(base_url="https://dav.test/files/ada", username="ada", password=Secret("pass-word"))
FOLDER = "<resourcetype><collection/></resourcetype>"


def multistatus(*resources: tuple[str, str], status: int = 207) -> HttpResponse:
    """An answer with properties by address."""
    body = "".join(
        f"<response><href>{href}</href><propstat><prop>{properties}</prop><status>HTTP/1.1 200 OK</status></propstat>"
        "<propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>"
        for href, properties in resources
    )
    text = f'<?xml version="1.0"?><multistatus xmlns="DAV:">{body}</multistatus>'
    return HttpResponse(status=status, headers=[], content=text.encode())


async def test_a_file_that_is_written_anew_has_another_version(
    dav_folder: Path, webdav: WebdavCredentials, http: PlainHttpClient
) -> None:
    file, drive = dav_folder / "changing.txt", WebdavDrive(http)
    file.write_bytes(b"one")
    first = await drive.version("changing.txt", webdav)
    file.write_bytes(b"three")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert await drive.version("changing.txt", webdav) != first
    file.unlink()
    with pytest.raises(DatasourceItemNotFound):
        await drive.version("changing.txt", webdav)


async def test_a_folder_is_no_file_and_an_empty_one_has_nothing_in_it(
    webdav: WebdavCredentials, http: PlainHttpClient
) -> None:
    drive = WebdavDrive(http)
    for path in ("folder", "folder/", ""):
        with pytest.raises(DatasourceItemNotFound):
            await drive.version(path, webdav)
    assert (await drive.browse(webdav, prefix="nothing/")).files == []
    with pytest.raises(DatasourceItemNotFound):
        await drive.browse(webdav, prefix="nowhere")


@pytest.mark.parametrize("path", ["../secret.txt", "a/../../x", "./a", "/etc/passwd"])
async def test_nothing_outside_of_the_folder_is_asked_for(path: str) -> None:
    http = FakeHttp()
    with pytest.raises(DatasourceItemNotFound):
        await WebdavDrive(http).version(path, FAKE)
    with pytest.raises(DatasourceItemNotFound):
        await WebdavDrive(http).browse(FAKE, prefix=path)
    assert http.requests == []


async def test_addresses_come_whole_or_as_paths_and_what_is_outside_is_left_out() -> None:
    size = "<getcontentlength>3</getcontentlength><getlastmodified>Mon, 01 Jan 2024 00:00:00 GMT</getlastmodified>"
    answer = multistatus(
        ("/files/ada", FOLDER),
        ("https://dav.test/files/ada/b%20c.txt", size),
        ("/files/ada/sub", FOLDER),
        ("/files/eve/x.txt", size),
    )
    http = FakeHttp({"/files/ada/": answer})
    file, folder = (await WebdavDrive(http).browse(FAKE)).files
    assert (file.id, file.size, file.version) == ("b c.txt", 3, "Mon, 01 Jan 2024 00:00:00 GMT 3")
    assert (folder.id, folder.type) == ("sub/", "folder")
    (sent,) = http.requests
    assert ("Authorization", "Basic YWRhOnBhc3Mtd29yZA==") in sent.headers
    assert (("Depth", "1") in sent.headers, sent.follow_redirects) == (True, False)
    http.requests.clear()
    await WebdavDrive(http).browse(msgspec.structs.replace(FAKE, username="", password=Secret()))
    assert "Authorization" not in dict(http.requests[0].headers)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (HttpResponse(status=200, headers=[], content=b"<html/>"), DatasourceError, "base_url"),
        (HttpResponse(status=405, headers=[], content=b""), DatasourceError, "base_url"),
        (HttpResponse(status=207, headers=[], content=b"<html/>"), DatasourceUnavailable, "base_url"),
        (HttpResponse(status=302, headers=[], content=b""), DatasourceError, "302"),
        (HttpResponse(status=401, headers=[], content=b"<html>Login</html>"), DatasourceUnauthorized, "401"),
        (HttpResponse(status=503, headers=[], content=b""), DatasourceUnavailable, "503"),
        (
            HttpResponse(
                status=403,
                headers=[],
                content=b'<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:message>pass-word is '
                b"too old</s:message></d:error>",
            ),
            DatasourceUnauthorized,
            r"\*\*\* is too old",
        ),
    ],
)
async def test_what_the_server_refuses_is_told(answer: HttpResponse, kind: type[DatasourceError], said: str) -> None:
    with pytest.raises(DatasourceError, match=said) as caught:
        await WebdavDrive(FakeHttp({"/files/ada/": answer})).browse(FAKE)
    assert type(caught.value) is kind


async def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(CredentialsValidateFailedError, match="base_url"):
        await WebdavSources(FakeHttp()).check(msgspec.structs.replace(FAKE, base_url="dav.test"))
