"""Why runs of some published apps fail here and would anywhere: by the number of the file, with what the error says."""

from __future__ import annotations

import re

import msgspec

from tests.corpus.playing import End, Played

__all__ = ["ENDS", "KINDS", "Reason", "explained", "kind_of"]

#: What a reason is called in the report.
KINDS = {
    "package": "code imports a package that the sandbox does not have",
    "own": "a mistake of the app itself",
    "answer": "code asks more of an answer than a stand-in, an echo or a scripted model gives",
    "file": "a document extractor is given a picture, as the form allows",
    "person": "waits for a person",
}


class Reason(msgspec.Struct, frozen=True):
    """A kind of KINDS, and the pattern that an error has then."""

    kind: str
    pattern: str


def _package(name: str) -> Reason:
    return Reason("package", f"No module named '{name}'\nThe sandbox has the standard library")


_PICTURE = Reason("file", re.escape("Unsupported Extension Type: .png"))
_NO_IMPORT = Reason("own", "NameError: name 'json' is not defined")

ENDS: dict[str, Reason] = {
    "008": _package("requests"),
    "031": Reason("answer", "KeyError: 'preview_url'|which is no file"),
    "035": _package("pandas"),
    "046": Reason("own", "missing 1 required positional argument"),
    "049": _package("pandas"),
    "051": Reason("own", "Model  not exist"),
    "060": Reason("answer", "list indices must be integers"),
    "076": _package("requests"),
    "079": _NO_IMPORT,
    "082": _package("requests"),
    "089": Reason("answer", "md_to_csv.png is no text in UTF-8"),
    "103": Reason("person", ""),
    "106": _package("jieba"),
    "120": _package("requests"),
    "129": _package("requests"),
    "147": Reason("own", r"Variable \S+ not found"),
    "151": _PICTURE,
    "160": _PICTURE,
    "163": _package("requests"),
    "171": _package("requests"),
    "174": _NO_IMPORT,
}


def explained(number: str, end: End) -> bool:
    """Whether the table says why a run did not succeed."""
    reason = ENDS.get(number)
    if reason is None:
        return False
    if reason.kind == "person":
        return end.status == "paused"
    return end.status in ("failed", "error") and re.search(reason.pattern, end.error) is not None


def kind_of(name: str, played: Played) -> str:
    """The kind of reason why runs of a file's app did not succeed; "" when one of them has none."""
    number = name[:3]
    return ENDS[number].kind if all(explained(number, end) for end in played.failures) else ""
