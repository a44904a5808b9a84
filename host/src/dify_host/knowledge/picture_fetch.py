"""Fetches the pictures that documents link to, within bounds; one that does not come leaves its link as it was."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import Final

from dify_kernel.contracts.http import HttpClient, HttpRequest, Timeout
from dify_kernel.errors import DifyError

from dify_host.knowledge.extract.pictures import LinkedPicture, Picture, kind_of
from dify_host.knowledge.settings import KnowledgeSettings

__all__ = ["PictureFetcher"]

log = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
#: Of one document: bytes of all that is fetched, requests at a time, seconds.
_ALL, _PARALLEL, _SECONDS = 32 * _MIB, 4, 120.0
_ACCEPT: Final = ("accept", "image/png, image/jpeg, image/gif, image/webp")


class PictureFetcher:
    """Fetches pictures over `http`, the guarded client; `largest` bytes and `seconds` bound each of them.

    `document_seconds` bounds those of one document. With `largest` 0 nothing is fetched.
    """

    def __init__(
        self, http: HttpClient, *, largest: int = 2 * _MIB, seconds: float = 60.0, document_seconds: float = _SECONDS
    ) -> None:
        self._http = http
        self._largest = largest
        self._seconds = seconds
        self._document_seconds = document_seconds

    @classmethod
    def of_settings(cls, http: HttpClient, settings: KnowledgeSettings) -> PictureFetcher:
        """One with the bounds that the operator set."""
        largest = settings.attachment_image_file_size_limit * _MIB
        return cls(http, largest=largest, seconds=settings.attachment_image_download_timeout)

    async def fetch(self, linked: Sequence[LinkedPicture]) -> dict[str, Picture]:
        """The pictures of a document that came, by the digests of their addresses; raises nothing for the others."""
        if not linked or not self._largest:
            return {}
        gate = asyncio.Semaphore(_PARALLEL)
        tasks = {item.digest: asyncio.create_task(self._one(item.address, gate)) for item in linked}
        try:
            await asyncio.wait(tasks.values(), timeout=self._document_seconds)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        found: dict[str, Picture] = {}
        size = 0
        for digest, task in tasks.items():
            picture = None if task.cancelled() else task.result()
            if picture is not None and size + len(picture.data) <= _ALL:
                size += len(picture.data)
                found[digest] = picture
        return found

    async def _one(self, address: str, gate: asyncio.Semaphore) -> Picture | None:
        request = HttpRequest(
            method="GET",
            url=address,
            headers=[_ACCEPT],
            timeout=Timeout(read=self._seconds, total=self._seconds),
            follow_redirects=True,
            max_bytes=self._largest,
        )
        async with gate:
            try:
                answer = await self._http.send(request)
            except DifyError as exc:
                log.info("A picture that a document links to was not fetched: %s", exc)
                return None
        extension = kind_of(answer.content) if answer.status == 200 else ""
        if not extension:
            return None
        digest = hashlib.sha256(answer.content).hexdigest()
        return Picture(digest=digest, extension=extension, data=answer.content)
