"""What the contract does not cover: who is refused, other answers of a server, the settings."""

import base64
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from dify_kernel.errors import InvalidQuery, SettingsError, StoreRateLimited, StoreUnauthorized, StoreUnavailable
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, X, record
from dify_vdb_chroma import ChromaSettings, ChromaVectorStore
from packaging.specifiers import SpecifierSet

PREFIX = "CHROMA_"


@pytest.fixture
def answering():
    """An HTTP server that answers everything with `answer` and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.server.asked.append((self.command, self.path, dict(self.headers), json.loads(body or b"null")))
            status, content = self.server.answer
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked, httpd.answer = [], (200, {})
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def store_of(answering, **variables):
    env = {"CHROMA_HOST": "127.0.0.1", "CHROMA_PORT": str(answering.server_port), **variables}
    return ChromaVectorStore(load_settings(ChromaSettings, env, prefix=PREFIX))


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (400, InvalidQuery, False),
        (401, StoreUnauthorized, False),
        (403, StoreUnauthorized, False),
        (422, InvalidQuery, False),
        (429, StoreRateLimited, True),
        (500, StoreUnavailable, True),
        (503, StoreUnavailable, True),
    ],
)
async def test_statuses_become_the_contracts_errors(answering, status, error, retryable):
    store = store_of(answering)
    await store.open()
    answering.answer = (status, {"error": "InternalError", "message": "the reason"})
    for call in (store.search(SPACE, P, X), store.create(SPACE), store.upsert(SPACE, P, [record(1)])):
        with pytest.raises(error) as caught:
            await call
        assert caught.value.retryable is retryable
    await store.close()


@pytest.mark.parametrize(
    ("provider", "header", "value"),
    [
        ("token", "authorization", "Bearer us:hush"),
        ("chromadb.auth.token_authn.TokenAuthClientProvider", "authorization", "Bearer us:hush"),
        ("basic", "authorization", f"Basic {base64.b64encode(b'us:hush').decode()}"),
        (
            "chromadb.auth.basic_authn.BasicAuthClientProvider",
            "authorization",
            f"Basic {base64.b64encode(b'us:hush').decode()}",
        ),
        ("x-chroma-token", "x-chroma-token", "us:hush"),
    ],
)
async def test_credentials_are_sent_and_never_shown(answering, provider, header, value):
    store = store_of(answering, CHROMA_AUTH_PROVIDER=provider, CHROMA_AUTH_CREDENTIALS="us:hush")
    answering.answer = (401, {"error": "AuthError", "message": "no: us:hush"})
    with pytest.raises(StoreUnauthorized) as caught:
        await store.open()
    await store.close()
    assert caught.value.hint is not None
    assert "CHROMA_AUTH_CREDENTIALS" in caught.value.hint
    sent = {name.lower(): text for name, text in answering.asked[-1][2].items()}
    assert sent[header] == value
    assert "hush" not in str(caught.value) + repr(store._settings)


async def test_an_unknown_provider_is_a_setting_to_correct(answering):
    with pytest.raises(SettingsError, match="CHROMA_AUTH_PROVIDER"):
        await store_of(answering, CHROMA_AUTH_PROVIDER="ldap").open()


async def test_a_missing_database_is_told(answering):
    store = store_of(answering, CHROMA_TENANT="acme", CHROMA_DATABASE="dify")
    await store.open()
    answering.answer = (404, {"error": "NotFoundError", "message": "Database [dify] not found"})
    with pytest.raises(InvalidQuery) as caught:
        await store.create(SPACE)
    assert caught.value.hint is not None
    assert "CHROMA_DATABASE" in caught.value.hint
    assert answering.asked[-1][1] == "/api/v2/tenants/acme/databases/dify/collections"
    assert await store.search(SPACE, P, X) == []
    await store.close()


@pytest.mark.parametrize(("told", "fits"), [("1.0.0", True), ("0.6.3", False), ("2.0.1", False)])
async def test_the_version_is_the_servers(answering, told, fits):
    store = store_of(answering)
    await store.open()
    answering.answer = (200, told)
    engine = await store.version()
    assert (answering.asked[-1][:2], engine.name, engine.version) == (("GET", "/api/v2/version"), "Chroma", told)
    assert SpecifierSet(engine.supported).contains(engine.release) is fits
    answering.answer = (404, {"detail": "Not Found"})
    assert (await store.version()).version == ""
    await store.close()


def test_settings():
    assert ChromaSettings().url == "http://localhost:8000"
    assert load_settings(ChromaSettings, {"CHROMA_HOST": "https://c.example/"}, prefix=PREFIX).url == (
        "https://c.example:8000"
    )
    assert ChromaSettings().headers() == {}
    assert all(info.description for info in describe_settings(ChromaSettings, prefix=PREFIX))


def test_importing_loads_no_client():
    script = "import sys, dify_vdb_chroma.plugin\nassert not {'httpx', 'chromadb', 'numpy'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "chroma").build({}), ChromaVectorStore)
