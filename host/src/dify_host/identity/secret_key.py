"""The platform's secret: from SECRET_KEY, or made once and kept in the data folder."""

from __future__ import annotations

import os

from dify_host.net.crypto import generate_secret_key
from dify_host.settings import HostSettings

__all__ = ["read_secret_key"]


def read_secret_key(settings: HostSettings) -> str:
    """The secret; without SECRET_KEY the first process to ask makes `<data>/secret_key`, readable by its owner alone.

    Losing it makes every stored credential unreadable: it belongs in the backup of the data folder.
    """
    if settings.secret_key:
        return settings.secret_key.reveal()
    path = settings.data / "secret_key"
    settings.make_data()
    if not path.exists():
        draft = path.with_name(f"secret_key.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(generate_secret_key())
        try:
            os.link(draft, path)  # the first one wins, and nobody ever reads half a key
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text("ascii").strip()
