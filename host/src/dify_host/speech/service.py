"""Turns speech into text and text into speech with the workspace's default models, as far as an app allows it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from dify_kernel.contracts.model import ModelType
from dify_kernel.errors import BadInput, DifyError

from dify_host.models.errors import ProviderTokenNotInitError
from dify_host.models.runtime import ModelRuntime
from dify_host.speech.errors import AudioTooLarge, NoAudioUploaded, SpeechToTextUnsupported, UnsupportedAudioType

__all__ = ["Speak", "Speech"]

_MAX_BYTES: Final = 30 * 1024 * 1024
#: Dify takes the first five subtypes; the others are what browsers and clients call the same files.
_SUBTYPES: Final = frozenset(
    (
        *("mp3", "m4a", "wav", "amr", "mpga"),
        *("mpeg", "mp4", "webm", "x-m4a", "x-wav", "wave", "vnd.wave"),
    )
)

log = logging.getLogger(__name__)

Speak = Callable[[str], AsyncGenerator[bytes, None]]
Features = Mapping[str, Any]


class Speech:
    """The speech of one workspace's apps; `features` are those of the app. Raises the errors of models."""

    def __init__(self, models: ModelRuntime) -> None:
        self._models = models

    async def to_text(self, features: Features, audio: bytes, filename: str, mime_type: str | None) -> str:
        """What is said; BadInput when the app does not listen, UnsupportedAudioType, AudioTooLarge."""
        if not (features.get("speech_to_text") or {}).get("enabled"):
            raise BadInput("Speech to text is not enabled")
        kind, _, subtype = (mime_type or "").partition(";")[0].strip().lower().partition("/")
        if kind != "audio" or subtype not in _SUBTYPES:
            raise UnsupportedAudioType(
                f"Audio type {mime_type or 'unknown'} is not taken.", hint="Send mp3, m4a, wav, amr or mpga."
            )
        if not audio:
            raise NoAudioUploaded("Please upload your audio.", field="file")
        if len(audio) > _MAX_BYTES:
            raise AudioTooLarge("Audio size larger than 30 mb")
        try:
            return await self._models.speech_to_text("", "", audio, filename)
        except ProviderTokenNotInitError as exc:
            raise SpeechToTextUnsupported(
                "Provider not support speech to text.", hint="Add a model provider that has it."
            ) from exc

    async def voice(self, features: Features, wanted: str | None = None) -> str:
        """The voice to speak with: the caller's, the app's, or the model's first. BadInput when the app is mute."""
        feature = features.get("text_to_speech") or {}
        if not feature.get("enabled"):
            raise BadInput("TTS is not enabled")
        found = wanted or feature.get("voice")
        if not found:
            voices = (await self._models.describe("", "", ModelType.TTS)).voices
            found = voices[0] if voices else None
        if not found:
            raise BadInput("Sorry, no voice available.", field="voice")
        return str(found)

    def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """The sound of a text, piece by piece; closing it ends the call."""
        return self._models.text_to_speech("", "", text, voice)

    async def reader_of(self, features: Features) -> Speak | None:
        """What reads the app's answers out while they are written; None when it does not want that, or has no voice."""
        feature = features.get("text_to_speech") or {}
        if not feature.get("enabled") or feature.get("autoPlay") != "enabled":
            return None
        try:
            voice = await self.voice(features)
        except DifyError as exc:
            log.warning("answers cannot be read out: %s", exc)
            return None
        return lambda text: self.speak(text, voice)

    async def to_audio(self, features: Features, text: str, wanted: str | None = None) -> AsyncIterator[bytes]:
        """The sound of a text. Its first piece is here when this returns: what fails at once is raised."""
        pieces = self.speak(text, await self.voice(features, wanted))
        first = await anext(pieces, b"")
        return _rest(first, pieces)


async def _rest(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece
