"""What callers ask of an app's service, and what they get back from an import."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.plan import Problem

from dify_host.apps.dsl import CURRENT_VERSION, ImportStatus
from dify_host.apps.needs import Missing
from dify_host.apps.old_forms.rule import Change
from dify_host.apps.records import AppMode

__all__ = ["AppChanges", "Check", "ImportResult"]

_LONGEST_TEXT: Final = 255  # characters of the columns of a name and an icon


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What a text is, an app or a knowledge pipeline, and everything that is wrong with it."""

    kind: str
    name: str
    mode: str
    version: str
    valid: bool
    importable: bool
    problems: list[Problem] = []
    missing: list[Missing] = []
    changes: list[Change] = []


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an import. `pending` means that nothing is stored until it is called again as confirmed.

    With something `missing`, the app is kept as a draft that is not published until it is there. `changes` are the old
    forms that were brought to those of today.
    """

    id: str
    status: ImportStatus
    app_id: str | None = None
    app_mode: AppMode | None = None
    current_dsl_version: str = CURRENT_VERSION
    imported_dsl_version: str = ""
    error: str = ""
    warnings: list[Problem] = []
    missing: list[Missing] = []
    missing_plugins: list[str] = []
    changes: list[Change] = []


class AppChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How an app is called and drawn, and how much it may run; what is unset stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    icon_type: str | msgspec.UnsetType | None = msgspec.UNSET
    icon: str | msgspec.UnsetType | None = msgspec.UNSET
    icon_background: str | msgspec.UnsetType | None = msgspec.UNSET
    use_icon_as_answer_icon: bool | msgspec.UnsetType = msgspec.UNSET
    max_active_requests: int | msgspec.UnsetType | None = msgspec.UNSET

    def given(self) -> dict[str, Any]:
        """The set fields by column; BadInput for a text that is too long."""
        values = {key: item for key, item in msgspec.structs.asdict(self).items() if item is not msgspec.UNSET}
        for key, item in values.items():
            if key != "description" and isinstance(item, str) and len(item) > _LONGEST_TEXT:
                raise BadInput(f"`{key}` has {len(item)} characters; at most {_LONGEST_TEXT} are kept.", field=key)
        return values
