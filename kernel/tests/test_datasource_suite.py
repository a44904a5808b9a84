"""The suites of data sources pass on their reference and fail on every broken variant."""

from contextlib import asynccontextmanager

import pytest
from dify_kernel.contracts.datasource_http import ask_json, asking, checking, refusal, without_secret
from dify_kernel.contracts.http import HttpRequest, HttpResponse, HttpTimeout
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
    OutboundRefused,
)
from dify_kernel.settings import Secret
from dify_kernel.testing.broken_crawler import BROKEN_CRAWLERS, CrawlerSuite
from dify_kernel.testing.broken_datasource import (
    BROKEN_DATASOURCES,
    DocumentsSuite,
    DriveSuite,
    ProviderSuite,
    SiteSuite,
)
from dify_kernel.testing.datasource import WebsiteCrawlSuite
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.honesty import contract_tests, run_suite
from dify_kernel.testing.loopback import loopback
from dify_kernel.testing.memory_crawler import CrawlerCredentials, CrawlerProvider, crawler_answers
from dify_kernel.testing.memory_datasource import GOOD_KEY, MemoryCredentials, MemoryProvider
from dify_kernel.testing.plain_http import PlainHttpClient

SUITES = (ProviderSuite, SiteSuite, DocumentsSuite, DriveSuite)


def fixtures_of(provider):
    @asynccontextmanager
    async def fixtures():
        yield {
            "provider": provider(FakeHttp()),
            "credentials": MemoryCredentials(api_key=Secret(GOOD_KEY)),
            "wrong_credentials": MemoryCredentials(api_key=Secret("key-of-nobody")),
        }

    return fixtures


@pytest.mark.parametrize("suite", SUITES)
async def test_the_reference_passes(suite):
    outcomes = await run_suite(suite, fixtures_of(MemoryProvider))
    assert set(outcomes.values()) == {"passed"}, outcomes


@pytest.mark.parametrize("flaw", BROKEN_DATASOURCES)
async def test_a_broken_source_fails(flaw):
    broken, suite, caught_by = BROKEN_DATASOURCES[flaw]
    outcomes = await run_suite(suite, fixtures_of(broken), only=(caught_by,))
    assert not outcomes[caught_by].startswith(("passed", "skipped")), outcomes


@pytest.mark.parametrize("suite", SUITES)
def test_every_contract_test_catches_something(suite):
    caught = {test for _, of, test in BROKEN_DATASOURCES.values() if of is suite}
    assert contract_tests(suite).keys() - caught == {"test_no_contract_test_is_dropped"}


def crawler(provider):
    @asynccontextmanager
    async def fixtures():
        with loopback(crawler_answers) as service:
            async with PlainHttpClient() as http:
                yield {
                    "provider": provider(http),
                    "credentials": CrawlerCredentials(api_key=Secret(GOOD_KEY), base_url=service.url),
                    "wrong_credentials": CrawlerCredentials(api_key=Secret("key-of-nobody"), base_url=service.url),
                    "service": service,
                }

    return fixtures


@pytest.mark.parametrize("suite", [CrawlerSuite, ProviderSuite])
async def test_the_reference_of_service_crawls_passes(suite):
    outcomes = await run_suite(suite, crawler(CrawlerProvider))
    assert set(outcomes.values()) == {"passed"}, outcomes


@pytest.mark.parametrize("flaw", BROKEN_CRAWLERS)
async def test_a_broken_service_crawl_fails_and_all_else_of_it_passes(flaw):
    broken, caught_by = BROKEN_CRAWLERS[flaw]
    outcomes = await run_suite(CrawlerSuite, crawler(broken))
    failed = {name for name, outcome in outcomes.items() if outcome != "passed"}
    assert failed == {caught_by}, outcomes


def test_every_test_of_service_crawls_catches_something():
    caught = {test for _, test in BROKEN_CRAWLERS.values()}
    assert contract_tests(CrawlerSuite).keys() - contract_tests(WebsiteCrawlSuite).keys() == caught


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, DatasourceError, False),
        (401, DatasourceUnauthorized, False),
        (403, DatasourceUnauthorized, False),
        (404, DatasourceItemNotFound, False),
        (410, DatasourceItemNotFound, False),
        (429, DatasourceUnavailable, True),
        (503, DatasourceUnavailable, True),
    ],
)
def test_a_status_is_an_error_of_the_family(status, kind, retryable):
    found = refusal(HttpResponse(status=status, headers=[], content=b'{"message": "Not  now"}'), "The service")
    assert type(found) is kind
    assert found.retryable is retryable
    assert f"status {status}: Not now" in str(found)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HttpTimeout("It took too long."), DatasourceUnavailable),
        (OutboundRefused("Not public."), DatasourceError),
        (HttpResponse(status=200, headers=[], content=b"<html>"), DatasourceUnavailable),
        (HttpResponse(status=500, headers=[], content=b"[1]"), DatasourceUnavailable),
    ],
)
async def test_whatever_goes_wrong_with_a_request_is_told(answer, kind):
    http = FakeHttp({"/x": answer})
    with pytest.raises(kind, match="The service"):
        await ask_json(http, HttpRequest(method="GET", url="https://a.test/x"), "The service")


async def test_an_answer_is_a_stream_and_a_refusal_ends_where_its_words_do():
    endless = HttpResponse(status=500, headers=[], content=b"<Message>Gone mad</Message>" + b"x" * 1_000_000)
    good = HttpResponse(status=200, headers=[("ETag", "1")], content=b"bytes")
    http = FakeHttp({"/good": good, "/bad": endless, "/away": HttpTimeout("It took too long.")})
    sent = {name: HttpRequest(method="GET", url=f"https://a.test/{name}") for name in ("good", "bad", "away")}
    async with asking(http, sent["good"], "The service") as answer:
        assert (answer.headers, b"".join([chunk async for chunk in answer.chunks])) == ({"etag": "1"}, b"bytes")
    heard = []
    with pytest.raises(DatasourceUnavailable, match="status 500: Gone mad"):
        async with asking(http, sent["bad"], "The service", words_of=lambda it: heard.append(it) or "Gone mad"):
            pass
    assert len(heard[0].content) < 100_000
    with pytest.raises(DatasourceUnavailable, match="too long"):
        async with asking(http, sent["away"], "The service"):
            pass


def test_a_secret_that_a_service_repeats_is_not_in_the_error():
    answer = HttpResponse(status=401, headers=[], content=b'{"error": "key-of-nobody is not known"}')
    found = refusal(answer, "The service", secret=Secret("key-of-nobody"))
    assert str(found).startswith("The service answered with status 401: *** is not known")
    for short in ("", "a", "no"):
        assert without_secret("no banana is known", Secret(short)) == "no banana is known"
    assert without_secret("no banana is known", Secret("banana")) == "no *** is known"
    given = refusal(answer, "The service", secret=Secret("banana"), words="no  banana")
    assert "status 401: no ***" in str(given)


def test_what_a_check_is_refused_is_about_the_credentials_and_what_may_pass_is_not():
    for refused in (DatasourceUnauthorized("No."), DatasourceItemNotFound("Gone."), DatasourceError("Bad.")):
        with pytest.raises(CredentialsValidateFailedError, match=refused.message), checking():
            raise refused
    with pytest.raises(DatasourceUnavailable), checking():
        raise DatasourceUnavailable("Later.")
