"""Buckets: what a server may answer, and what is never asked of it."""

from __future__ import annotations

import msgspec
import pytest
from dify_datasources_drive.provider import S3Sources
from dify_datasources_drive.s3_drive import S3Drive
from dify_datasources_drive.settings import S3Credentials
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
from dify_kernel.testing.loopback import loopback
from dify_kernel.testing.plain_http import PlainHttpClient
from dify_kernel.testing.server import Server

from .conftest import BUCKET, bucket_of

FAKE = S3Credentials(
    access_key_id=Secret("id-1234"), secret_access_key=Secret("secret-1"), endpoint_url="https://s3.test/"
)
ENTITY = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def xml(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers=[], content=f'<?xml version="1.0"?>{body}'.encode())


async def test_a_file_that_is_written_anew_has_another_version(
    weed: Server, s3: S3Credentials, http: PlainHttpClient
) -> None:
    bucket, drive = bucket_of(weed), S3Drive(http)
    bucket.write("changing/x.txt", b"one")
    first = await drive.version("changing/x.txt", s3, bucket=BUCKET)
    assert await drive.version("changing/x.txt", s3, bucket=BUCKET) == first
    bucket.write("changing/x.txt", b"two")
    assert await drive.version("changing/x.txt", s3, bucket=BUCKET) != first
    bucket.delete("changing/x.txt")


async def test_a_key_for_one_bucket_reads_no_other(s3: S3Credentials, http: PlainHttpClient) -> None:
    drive, one = S3Drive(http), msgspec.structs.replace(s3, bucket=BUCKET)
    assert {entry.id for entry in (await drive.browse(s3)).files} >= {BUCKET, "other"}
    assert (await drive.browse(one, bucket=BUCKET)).files == (await drive.browse(one)).files
    with pytest.raises(DatasourceItemNotFound, match="other"):
        await drive.browse(one, bucket="other")
    with pytest.raises(DatasourceItemNotFound):
        await drive.version("made", one, bucket="other")
    with pytest.raises(CredentialsValidateFailedError, match="NoSuchBucket"):
        await S3Sources(http).check(msgspec.structs.replace(s3, bucket="nowhere"))


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("b", "../x"), ("b", "a/./x"), ("b", "folder/"), ("b", ""), ("", "x"), ("..", "x"), (".", "x")],
)
async def test_what_is_no_file_of_a_bucket_is_not_asked_for(bucket: str, key: str) -> None:
    http = FakeHttp()
    with pytest.raises(DatasourceItemNotFound):
        async with S3Drive(http).download(key, FAKE, bucket=bucket):
            pass
    with pytest.raises(DatasourceItemNotFound):
        await S3Drive(http).version(key, FAKE, bucket=bucket)
    assert http.requests == []


async def test_a_bucket_is_one_part_of_the_address_and_requests_are_signed() -> None:
    http = FakeHttp({"https://s3.test/b%2Fc%3Fd/a%20b%2B%C3%A4": xml("", 200)})
    async with S3Drive(http).download("a b+\u00e4", FAKE, bucket="b/c?d") as file:
        assert file.mime_type == "application/octet-stream"
    (sent,) = http.requests
    headers = {name.lower(): value for name, value in sent.headers}
    assert "Credential=id-1234/" in headers["authorization"]
    assert "/us-east-1/s3/aws4_request" in headers["authorization"]
    assert not sent.follow_redirects


async def test_names_that_are_encoded_and_names_that_are_not() -> None:
    entry = "<Contents><Key>{}</Key><Size>3</Size><ETag>&quot;t&quot;</ETag></Contents>"
    plain = f"<ListBucketResult {NAMESPACE}>{entry.format('a+b%20c')}</ListBucketResult>"
    encoded = f"<ListBucketResult><EncodingType>url</EncodingType>{entry.format('a%2Bb+c')}</ListBucketResult>"
    drive = S3Drive(FakeHttp({"/b": [xml(plain), xml(encoded)]}))
    for name in ("a+b%20c", "a+b c"):
        (found,) = (await drive.browse(FAKE, bucket="b")).files
        assert (found.id, found.size, found.version) == (name, 3, "t")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (xml("<Error><Code>SlowDown</Code><Message>Later.</Message></Error>", 503), DatasourceUnavailable, "SlowDown"),
        (xml("<Error><Code>AccessDenied</Code></Error>", 403), DatasourceUnauthorized, "AccessDenied"),
        (xml("<Error><Message>secret-1 is no secret</Message></Error>", 403), DatasourceUnauthorized, r"\*\*\* is no"),
        (xml("<Error><Code>NoSuchBucket</Code></Error>", 404), DatasourceItemNotFound, "NoSuchBucket"),
        (xml("<Error><Code>PermanentRedirect</Code></Error>", 301), DatasourceError, "PermanentRedirect"),
        (HttpResponse(status=200, headers=[], content=b"<html>Welcome"), DatasourceUnavailable, "endpoint_url"),
        (xml("<Other/>"), DatasourceUnavailable, "endpoint_url"),
        (xml(f"{ENTITY}<Error><Code>&e;</Code></Error>", 400), DatasourceError, "400"),
    ],
)
async def test_what_the_service_refuses_is_told(answer: HttpResponse, kind: type[DatasourceError], said: str) -> None:
    with pytest.raises(DatasourceError, match=said) as caught:
        await S3Drive(FakeHttp({"/b": answer})).browse(FAKE, bucket="b")
    assert type(caught.value) is kind
    assert "root:" not in str(caught.value)


async def test_a_redirect_to_another_address_is_not_followed(http: PlainHttpClient) -> None:
    with loopback((200, {}, b"<ListBucketResult/>")) as inner:
        with loopback((302, {"Location": f"{inner.url}/meta"}, b"")) as outer:
            credentials = msgspec.structs.replace(FAKE, endpoint_url=outer.url)
            with pytest.raises(DatasourceError, match="302"):
                await S3Drive(http).browse(credentials, bucket="b")
            with pytest.raises(DatasourceError, match="302"):
                async with S3Drive(http).download("x", credentials, bucket="b"):
                    pass
        assert inner.asked == []


async def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(CredentialsValidateFailedError, match="endpoint_url"):
        await S3Sources(FakeHttp()).check(msgspec.structs.replace(FAKE, endpoint_url="s3.test"))
    amazon = msgspec.structs.replace(FAKE, endpoint_url="", region_name="eu-central-1")
    assert amazon.address == "https://s3.eu-central-1.amazonaws.com"
