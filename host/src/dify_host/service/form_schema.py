"""How the OpenAPI document describes routes that take a form with a file: their handlers read it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

__all__ = ["ChangedDocumentForm", "DocumentForm", "FileForm"]


@dataclass
class FileForm(Operation):
    """A form with `file` and `user`."""

    texts: ClassVar[dict[str, str]] = {"user": "The end user, as the caller names it."}
    required: ClassVar[list[str]] = ["file"]

    def __post_init__(self) -> None:
        """Describe the form."""
        texts = {name: Schema(type=OpenAPIType.STRING, description=text) for name, text in self.texts.items()}
        file = Schema(type=OpenAPIType.STRING, content_media_type="application/octet-stream")
        form = Schema(type=OpenAPIType.OBJECT, properties={"file": file, **texts}, required=self.required or None)
        self.request_body = RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=form)}, required=True)


@dataclass
class DocumentForm(FileForm):
    """A form with `file`, and `data` as JSON text."""

    texts: ClassVar[dict[str, str]] = {"data": "JSON: the fields of the same call with a text, without the text."}


@dataclass
class ChangedDocumentForm(DocumentForm):
    """The same, where the file may be left out."""

    required: ClassVar[list[str]] = []
