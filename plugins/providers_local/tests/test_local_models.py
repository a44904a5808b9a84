"""The real models: what they answer, and the life of their process."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest
from dify_kernel.contracts.model import LLMRequest, ModelType, PromptMessage, ProviderPorts
from dify_kernel.errors import InvokeBadRequestError, InvokeServerUnavailableError
from dify_kernel.testing.model_fixtures import collect
from dify_providers_local import LocalCredentials, LocalSettings
from dify_providers_local.catalog import CHAT, EMBEDDING, RERANK
from dify_providers_local.provider import LocalProvider

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

ME = LocalCredentials()


def ask(text, **parameters):
    messages = [PromptMessage(role="user", content=text)]
    return LLMRequest(model=CHAT, messages=messages, parameters={"max_tokens": 24, "temperature": 0, **parameters})


async def gone(pid):
    async with asyncio.timeout(20):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


async def test_answers_from_what_it_is_given(provider):
    text = "Travel rules: the travel allowance is 42 euros per day. Question: how many euros per day is the allowance?"
    answer = await collect(provider.llm(ask(text), ME))
    assert "42" in answer.text


async def test_finds_the_passage_across_languages(provider):
    texts = ["Die Katze schläft auf dem Sofa.", "Interest rates rise in spring.", "京都は古い都です。"]
    documents = (await provider.embed(EMBEDDING, texts, ME)).vectors
    for question, wanted in (("Where does the cat sleep?", 0), ("Wann steigen die Zinsen?", 1), ("古都", 2)):
        [query] = (await provider.embed(EMBEDDING, [question], ME, input_type="query")).vectors
        scores = [sum(x * y for x, y in zip(query, vector, strict=True)) for vector in documents]
        assert scores.index(max(scores)) == wanted


async def test_a_long_text_is_cut_to_what_the_model_reads(provider):
    found = await provider.embed(EMBEDDING, ["long text " * 5000], ME)
    assert found.usage.prompt_tokens <= 512
    assert len(found.vectors[0]) == 384


PASSAGES = [
    "Pressure distribution on the wing at supersonic speed, measured in a tunnel.",
    "The cat sleeps on the sofa in the afternoon and hunts mice at night.",
    "A cat door lets cats go in and out by themselves.",
    "Interest rates rise in spring.",
]


async def test_ranks_what_answers_the_question_first(provider):
    for question, wanted in (("Where does the cat sleep?", 1), ("flow over wings", 0), ("cost of loans", 3)):
        hits = await provider.rerank(RERANK, question, PASSAGES, ME, top_n=2)
        assert (hits[0].index, hits[0].text, len(hits)) == (wanted, PASSAGES[wanted], 2)
        assert 0 <= hits[1].score < hits[0].score <= 1


async def test_ranks_what_is_hardly_a_text(provider):
    texts = ["", "\0", "京都は古い都です。", "word " * 5000]
    hits = await provider.rerank(RERANK, "\0", texts, ME)
    assert sorted(hit.index for hit in hits) == [0, 1, 2, 3]
    assert all(0 <= hit.score <= 1 for hit in hits)


async def test_a_ranking_that_is_left_ends(provider):
    await provider.prepare(RERANK)
    left = asyncio.create_task(provider.rerank(RERANK, "word", ["word " * 500] * 400, ME))
    async with asyncio.timeout(10):
        while not provider.worker.open_calls:
            await asyncio.sleep(0.01)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    async with asyncio.timeout(10):  # all of it would take a minute
        assert (await provider.rerank(RERANK, "cat", PASSAGES, ME, top_n=1))[0].index == 2


async def test_a_prompt_over_the_context_is_refused(provider):
    with pytest.raises(InvokeBadRequestError, match="context"):
        await collect(provider.llm(ask("word " * 9000), ME))


async def test_calls_wait_for_each_other_and_a_waiting_one_can_be_left(provider):
    first = asyncio.create_task(collect(provider.llm(ask("Count from one to ten.", max_tokens=16), ME)))
    waiting = asyncio.create_task(collect(provider.llm(ask("Count from one to ten.", max_tokens=2000), ME)))
    last = asyncio.create_task(collect(provider.llm(ask("Say hello.", max_tokens=8), ME)))
    async with asyncio.timeout(60):
        while provider.worker.open_calls < 3:
            await asyncio.sleep(0.01)
    waiting.cancel()
    assert (await first).text
    assert (await last).text
    assert waiting.cancelled()


async def test_a_killed_process_fails_its_calls_and_is_started_anew(provider):
    await provider.prepare(CHAT)
    pid = provider.worker.pid
    running = asyncio.create_task(collect(provider.llm(ask("Count to one hundred.", max_tokens=2000), ME)))
    async with asyncio.timeout(30):
        while not provider.worker.open_calls:
            await asyncio.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(InvokeServerUnavailableError) as caught:
        await running
    assert caught.value.retryable
    assert (await collect(provider.llm(ask("Say hello.", max_tokens=4), ME))).text
    assert provider.worker.pid != pid


async def test_an_idle_process_ends_and_comes_back(provider):
    settings = LocalSettings(local_models_idle_seconds=0.05)
    other = LocalProvider(provider.ports, settings)
    await other.embed(EMBEDDING, ["x"], ME)
    pid = other.worker.pid
    await gone(pid)
    assert other.worker.pid is None
    assert (await other.embed(EMBEDDING, ["x"], ME)).vectors
    assert other.worker.pid not in (None, pid)
    await other.close()


async def test_the_process_dies_with_its_host():
    code = textwrap.dedent("""
        import asyncio, os, signal
        from dify_kernel.contracts.model import ProviderPorts
        from dify_providers_local.provider import LocalProvider
        async def main():
            provider = LocalProvider(ProviderPorts(http=None, data_dir="/nonexistent"))
            await provider.prepare("multilingual-e5-small")
            print(provider.worker.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """)
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    said, _ = await host.communicate()
    await gone(int(said))


async def test_the_process_has_none_of_the_hosts_secrets(provider, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hush")
    await provider.prepare(EMBEDDING)
    assert "SECRET_KEY" not in psutil.Process(provider.worker.pid).environ()


async def test_its_http_door_is_locked(provider, http_client):
    """llama.cpp listens on loopback whether it is wanted or not."""
    from dify_kernel.contracts.http import HttpRequest

    await provider.prepare(CHAT)
    ports = {
        connection.laddr.port
        for connection in psutil.Process(provider.worker.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    for port in ports:
        body = b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}'
        request = HttpRequest(method="POST", url=f"http://127.0.0.1:{port}/v1/chat/completions", content=body)
        assert (await http_client.send(request)).status == 401


async def test_a_file_of_your_own_is_a_model(provider, tmp_path):
    await provider.prepare(CHAT)
    weights = provider.ports.data_dir + "/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    (tmp_path / "mine.gguf").symlink_to(weights)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really")
    ports = ProviderPorts(http=provider.ports.http, data_dir=str(tmp_path))
    for name in ("mine", "broken"):
        other = LocalProvider(ports, LocalSettings(local_gguf_path=str(tmp_path / f"{name}.gguf")))
        assert other.describe(name, ModelType.LLM).context_size == 4096
        messages = [PromptMessage(role="user", content="hi")]
        request = LLMRequest(model=name, messages=messages, parameters={"max_tokens": 2})
        if name == "mine":
            assert (await collect(other.llm(request, ME))).text
        else:
            with pytest.raises(InvokeServerUnavailableError, match="local model"):
                await collect(other.llm(request, ME))
        await other.close()
