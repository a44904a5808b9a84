"""What can go wrong with speech; codes are those of Dify's Service API."""

from __future__ import annotations

from dify_kernel.errors import BadInput, InvokeError, TooLarge

__all__ = ["AudioTooLarge", "NoAudioPart", "NoAudioUploaded", "SpeechToTextUnsupported", "UnsupportedAudioType"]


class NoAudioUploaded(BadInput):
    """The sound is empty."""

    code = "no_audio_uploaded"


class NoAudioPart(BadInput):
    """The form has no sound."""

    code = "bad_request_key_error"


class AudioTooLarge(TooLarge):
    """The sound is over the limit."""

    code = "audio_too_large"


class UnsupportedAudioType(BadInput):
    """The file is of a type that is not taken."""

    code = "unsupported_audio_type"
    status = 415


class SpeechToTextUnsupported(InvokeError):
    """The workspace has no model that understands speech."""

    code = "provider_not_support_speech_to_text"
