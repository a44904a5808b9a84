"""Reads a ReAct answer as it streams: the final answer goes out at once, thoughts and actions are kept back.

Models write `Thought:`, then an action, as a JSON blob (bare, fenced, or after `Action:`) or as the two lines
`Action: name` and `Action Input: …`; or `Final Answer:`. What a text means does not depend on how it was cut up.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from dify_kernel.loose_json import loads

__all__ = ["Action", "ReActReader", "read_scratchpad"]

#: What may stand in front of a label: quotes, lists and emphasis of Markdown.
_LEAD = r"[ \t>*#_-]{0,8}"
_FINAL = re.compile(_LEAD + r"Final[ _]Answer[ \t*_]{0,4}[:\uff1a]", re.IGNORECASE)
_ACTION = re.compile(rf"^{_LEAD}Action[ \t*_]{{0,4}}[:\uff1a][ \t*_]*", re.IGNORECASE | re.MULTILINE)
_INPUT = re.compile(rf"^{_LEAD}Action[ _]Input[ \t*_]{{0,4}}[:\uff1a][ \t*_]*", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(
    rf"^{_LEAD}(?:Thought|Action|Action[ _]Input|Observation|Final[ _]Answer)[ \t*_]{{0,4}}[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
_THOUGHT = re.compile(rf"^\s*{_LEAD}Thought[ \t*_]{{0,4}}[:\uff1a][ \t*_]*", re.IGNORECASE)
_BLOB = re.compile(r"""[\[\s]*\{\s*["']action(?:_name)?["']\s*:""")
_FENCE = re.compile(r"```[\w-]*[ \t]*")
_OPEN_FENCE = re.compile(r"\[?\s*```[\w-]*\s*\[?\s*\Z")
_ANSWERS = ("final answer", "final_answer", "finalanswer")
_NO_ACTION = ("", "none", "n/a", "null")


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What the model wants to do; `input` is an object or a text."""

    name: str
    input: Any = ""


class ReActReader:
    """One answer. `feed` and `finish` give what the user may see; after `finish` the rest is known."""

    def __init__(self) -> None:
        self.thought = ""
        self.action: Action | None = None
        self._text = ""
        self._line = self._searched = 0
        self._answer = False
        self._acts = False
        self._bold = False
        self._begun = False
        self._held = ""

    @property
    def raw(self) -> str:
        """Everything that the model wrote."""
        return self._text

    def feed(self, text: str) -> str:
        """Take a piece."""
        self._text += text
        if self._answer:
            return self._tell(text)
        if self._acts:
            return ""
        return self._look()

    def finish(self) -> str:
        """The model has ended. A text without an action and without a final answer is the answer."""
        if self._answer:
            return ""
        thought, action = read_scratchpad(self._text)
        if action is not None and action.name.lower() in _ANSWERS:
            self.thought = thought
            return _as_text(action.input)
        self.thought, self.action = thought, action
        return "" if action is not None else thought

    def _look(self) -> str:
        """Look at each line that began for the final answer; a label counts at the beginning of a line alone."""
        while True:
            found = _FINAL.match(self._text, self._line)
            if found:
                return self._reach(found)
            newline = self._text.find("\n", self._searched)
            if newline < 0:
                self._searched = len(self._text)
                return ""
            self._line = self._searched = newline + 1

    def _reach(self, found: re.Match[str]) -> str:
        thought, action = read_scratchpad(self._text[: self._line])
        if action is not None:
            self._acts = True  # what a model writes behind its action, it made up
            return ""
        self._answer, self.thought = True, thought
        self._bold = "**" in found[0].partition("inal")[0]
        return self._tell(self._text[found.end() :])

    def _tell(self, text: str) -> str:
        """The answer without blanks around it: those at its end may not be the end yet."""
        self._held += text
        if not self._begun:
            start = self._held.lstrip()
            if self._bold:
                if len(start) < 2 and "**".startswith(start):
                    return ""
                start = start.removeprefix("**").lstrip()
            if not start:
                return ""
            self._held, self._begun = start, True
        shown = self._held.rstrip()
        self._held = self._held[len(shown) :]
        return shown


def read_scratchpad(text: str) -> tuple[str, Action | None]:
    """The thought and the first action of a text; without an action all of it is the thought."""
    label, blob = _ACTION.search(text), _BLOB.search(text)
    if blob and (label is None or blob.start() <= label.end()):
        action = _from_blob(text[blob.start() :])
        if action is not None:
            start = label.start() if label and label.start() < blob.start() else blob.start()
            return _thought(text[:start]), action
    while label is not None:
        action = _after_label(text[label.end() :])
        if action is not None:
            return _thought(text[: label.start()]), action
        label = _ACTION.search(text, label.end())
    return _thought(text), None


def _after_label(rest: str) -> Action | None:
    body = _FENCE.sub("", rest, count=1) if rest.lstrip().startswith("```") else rest
    if body.lstrip()[:1] in ("{", "["):
        return _from_blob(body)
    name = body.lstrip("\n").partition("\n")[0].strip().strip("`*\"'").strip()
    if name.lower() in _NO_ACTION:
        return None
    given = _INPUT.search(rest)
    after = _LABEL.search(rest)
    if given is None or (after is not None and after.start() < given.start()):
        return Action(name=name)
    until = _LABEL.search(rest, given.end())
    return Action(name=name, input=_input(rest[given.end() : until.start() if until else len(rest)]))


def _from_blob(text: str) -> Action | None:
    try:
        found = loads(text, objects=True)
    except ValueError:
        return None
    names = [value for key, value in found.items() if "input" not in key.lower() and isinstance(value, str)]
    inputs = [value for key, value in found.items() if "input" in key.lower()]
    name = found["action"] if isinstance(found.get("action"), str) else names[0] if names else ""
    if name.strip().lower() in _NO_ACTION:
        return None
    return Action(name=name.strip(), input=inputs[0] if inputs else "")


def _input(text: str) -> Any:
    """A plain action input: an object when it is one, else the text."""
    bare = text.strip()
    if bare.startswith("```"):
        bare = _FENCE.sub("", bare, count=1).removesuffix("```").strip()
    if bare.startswith("{"):
        try:
            return loads(bare, objects=True)
        except ValueError:
            return bare
    return bare


def _thought(text: str) -> str:
    return _THOUGHT.sub("", _OPEN_FENCE.sub("", text.rstrip()), count=1).strip()


def _as_text(data: Any) -> str:
    return data.strip() if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
