"""Documents of knowledge bases: from text or from a file, how far they are, and whether they count."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, Request, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody

from dify_host.http.callers import DatasetCaller, DatasetKey
from dify_host.knowledge.document_change import DocForm, DocumentChange
from dify_host.knowledge.document_views import DocumentDetail
from dify_host.knowledge.documents import DocumentCreated, DocumentOptions, DocumentText
from dify_host.knowledge.rules import ProcessRule, read_rule
from dify_host.service.datasets import PageSize, Technique
from dify_host.service.form_schema import ChangedDocumentForm, DocumentForm
from dify_host.service.retrieve import RetrievalSettings
from dify_host.service.shapes import Deleted, IdInPath, PageNumber, Success, deleted, page_body, shown
from dify_host.service.uploads import UploadedForm, one_file, optional_file
from dify_host.workspace import Workspace

__all__ = ["DocumentController", "DocumentUploadController", "Options", "Rule", "document_body", "download_link"]

Form = DocForm
_METADATA = ("doc_type", "doc_metadata")


class Rule(msgspec.Struct, kw_only=True):
    """How texts are cleaned and cut."""

    mode: Literal["automatic", "custom", "hierarchical"]
    rules: dict[str, Any] | None = None

    def read(self) -> ProcessRule:
        """The rule, checked."""
        return read_rule(self.mode, self.rules)


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to index a document."""

    indexing_technique: Technique | None = None
    process_rule: Rule | None = None
    original_document_id: str | None = None
    doc_form: Form | None = None
    doc_language: str | None = None
    retrieval_model: RetrievalSettings | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None

    def options(self) -> DocumentOptions:
        """As the service takes them."""
        return DocumentOptions(
            indexing_technique=self.indexing_technique,
            process_rule=self.process_rule.read() if self.process_rule else None,
            doc_form=self.doc_form or "text_model",
            doc_language=self.doc_language or "English",
            embedding_model=self.embedding_model or None,
            embedding_model_provider=self.embedding_model_provider or None,
            retrieval_model=self.retrieval_model.given() if self.retrieval_model else None,
        )


class TextBody(Options, kw_only=True, forbid_unknown_fields=True):
    """A document given as text."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    text: str


class FileOptions(Options, kw_only=True, forbid_unknown_fields=True):
    """The part `data` beside a file; a new document keeps the file's own name whatever `name` says, as in Dify."""

    name: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class ChangedTextBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new text of a document; without one, its name and how it is cut alone change."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    text: str | None = None
    process_rule: Rule | None = None
    doc_form: Form | None = None
    doc_language: str | None = None
    retrieval_model: RetrievalSettings | None = None


class StatusBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which documents an action is for."""

    document_ids: list[str] = []


class DocumentController(Controller):
    """Routes of documents."""

    path = "/datasets/{dataset_id:uuid}"
    tags = ("Documents",)

    @post(["/document/create-by-text", "/document/create_by_text"], status_code=200)
    async def create_by_text(
        self, dataset_id: IdInPath, data: JSONBody[TextBody], caller: DatasetKey
    ) -> dict[str, Any]:
        """Keep a text and index it; ask `indexing-status` of the batch how far it is."""
        documents, text = caller.workspace.documents, DocumentText(name=data.name, text=data.text)
        if data.original_document_id:
            place = str(dataset_id), data.original_document_id
            made = await documents.update_by_text(*place, text, caller.owner_id, _change(data))
        else:
            made = await documents.create_by_text(str(dataset_id), text, data.options(), caller.owner_id)
        return _created(made)

    @post(
        ["/documents/{document_id:uuid}/update-by-text", "/documents/{document_id:uuid}/update_by_text"],
        status_code=200,
    )
    async def update_by_text(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[ChangedTextBody], caller: DatasetKey
    ) -> dict[str, Any]:
        """Replace the text of a document, or only its name and how it is cut, and index it again."""
        documents, place = caller.workspace.documents, (str(dataset_id), str(document_id))
        if data.text is None:
            return _created(await documents.update(*place, _change(data), caller.owner_id))
        if data.name is None:
            raise BadInput("name is required when text is provided.", field="name")
        text = DocumentText(name=data.name, text=data.text)
        return _created(await documents.update_by_text(*place, text, caller.owner_id, _change(data)))

    @get("/documents")
    async def list_documents(
        self,
        dataset_id: IdInPath,
        caller: DatasetKey,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
        status: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of documents, newest first; `status` is a display status."""
        found = await caller.workspace.documents.find(
            str(dataset_id), page=page, limit=limit, keyword=keyword or "", status=status
        )
        return page_body(found)

    @get("/documents/{document_id:uuid}")
    async def show(
        self, dataset_id: IdInPath, document_id: IdInPath, caller: DatasetKey, metadata: FromQuery[str] = "all"
    ) -> dict[str, Any]:
        """One document; `metadata` is all, only or without."""
        return document_body(await caller.workspace.documents.get(str(dataset_id), str(document_id)), metadata)

    @get("/documents/{document_id:uuid}/download")
    async def download(self, dataset_id: IdInPath, document_id: IdInPath, caller: DatasetKey) -> dict[str, str]:
        """A signed link to the file that the document was made of."""
        return await download_link(caller.workspace, str(dataset_id), str(document_id))

    @delete("/documents/{document_id:uuid}", status_code=200)
    async def remove(self, dataset_id: IdInPath, document_id: IdInPath, caller: DatasetKey) -> Deleted:
        """Delete a document with its segments."""
        await caller.workspace.documents.delete(str(dataset_id), str(document_id))
        return deleted()

    @get("/documents/{batch:str}/indexing-status")
    async def indexing_status(self, dataset_id: IdInPath, batch: FromPath[str], caller: DatasetKey) -> dict[str, Any]:
        """How far the documents of a batch are."""
        return {"data": shown(await caller.workspace.documents.indexing_status(str(dataset_id), batch))}

    @patch("/documents/status/{action:str}")
    async def set_status(
        self, dataset_id: IdInPath, action: FromPath[str], data: JSONBody[StatusBody], caller: DatasetKey
    ) -> Success:
        """enable, disable, archive or un_archive: all of the documents or, on an error, none."""
        await caller.workspace.documents.set_status(str(dataset_id), action, data.document_ids, caller.owner_id)
        return Success()


class DocumentUploadController(Controller):
    """Routes that take a document as a file; they may be larger than other bodies."""

    path = "/datasets/{dataset_id:uuid}"
    tags = ("Documents",)

    @post(
        ["/document/create-by-file", "/document/create_by_file"],
        status_code=200,
        operation_class=DocumentForm,
    )
    async def create_by_file(
        self, dataset_id: IdInPath, caller: DatasetKey, request: Request[Any, Any, Any]
    ) -> dict[str, Any]:
        """Keep a file and index it: multipart with `file`, and `data` as JSON text."""
        form = await one_file(request)
        options = _options(form.fields)
        if options.original_document_id:
            return await _replaced(caller, str(dataset_id), options.original_document_id, form, options)
        wanted, documents = options.options(), caller.workspace.documents
        file_id = await _kept(caller, form)
        async with documents.unless_refused(file_id):
            return _created(await documents.create_by_file(str(dataset_id), file_id, wanted, caller.owner_id))

    @post(
        ["/documents/{document_id:uuid}/update-by-file", "/documents/{document_id:uuid}/update_by_file"],
        status_code=200,
        operation_class=ChangedDocumentForm,
    )
    async def update_by_file(
        self, dataset_id: IdInPath, document_id: IdInPath, caller: DatasetKey, request: Request[Any, Any, Any]
    ) -> dict[str, Any]:
        """Replace the file of a document, or only its name and how it is cut, and index it again."""
        return await self._updated(dataset_id, document_id, caller, request)

    @patch("/documents/{document_id:uuid}", operation_class=ChangedDocumentForm)
    async def update(
        self, dataset_id: IdInPath, document_id: IdInPath, caller: DatasetKey, request: Request[Any, Any, Any]
    ) -> dict[str, Any]:
        """Replace the file of a document and index it again, as later versions of Dify call it."""
        return await self._updated(dataset_id, document_id, caller, request)

    @staticmethod
    async def _updated(
        dataset_id: object, document_id: object, caller: DatasetCaller, request: Request[Any, Any, Any]
    ) -> dict[str, Any]:
        form, fields = await optional_file(request)
        return await _replaced(caller, str(dataset_id), str(document_id), form, _options(fields))


def document_body(detail: DocumentDetail, metadata: str) -> dict[str, Any]:
    """One document in an answer; `metadata` is all, only or without (InvalidMetadata)."""
    if metadata not in ("all", "only", "without"):
        raise InvalidMetadata(f"Invalid metadata value: {metadata}", field="metadata")
    body: dict[str, Any] = shown(detail)
    for name in ("data_source_detail_dict", "word_count"):
        body.pop(name, None)
    if metadata == "only":
        return {name: body[name] for name in ("id", *_METADATA)}
    if metadata == "without":
        return {name: value for name, value in body.items() if name not in _METADATA}
    return body


async def download_link(workspace: Workspace, dataset_id: str, document_id: str) -> dict[str, str]:
    """A link to the file of a document, which a browser saves and does not show."""
    file_id = await workspace.knowledge.lists.file_of(dataset_id, document_id)
    return {"url": f"{workspace.files.signed_url(file_id)}&as_attachment=true"}


class InvalidMetadata(BadInput):
    """The value of `metadata` is unknown."""

    code = "invalid_metadata"


async def _replaced(
    caller: DatasetCaller, dataset_id: str, document_id: str, form: UploadedForm | None, options: FileOptions
) -> dict[str, Any]:
    documents, change = caller.workspace.documents, _change(options)
    if form is None:
        return _created(await documents.update(dataset_id, document_id, change, caller.owner_id))
    await documents.get(dataset_id, document_id)  # before anything is kept
    file_id = await _kept(caller, form)
    async with documents.unless_refused(file_id):
        return _created(await documents.update_by_file(dataset_id, document_id, file_id, caller.owner_id, change))


def _change(data: TextBody | ChangedTextBody | FileOptions) -> DocumentChange:
    """What a body says of a document that is there already."""
    return DocumentChange(
        name=data.name or None,
        process_rule=data.process_rule.read() if data.process_rule else None,
        doc_form=data.doc_form,
        doc_language=data.doc_language or None,
    )


async def _kept(caller: DatasetCaller, form: UploadedForm) -> str:
    kept = await caller.workspace.files.upload(
        form.content, form.filename, form.mime_type, created_by_role="account", created_by=caller.owner_id
    )
    return kept.id


def _options(fields: dict[str, Any]) -> FileOptions:
    text = fields.get("data")
    if not text:
        return FileOptions()
    try:
        return msgspec.json.decode(text, type=FileOptions, strict=False)
    except msgspec.DecodeError as exc:
        raise BadInput(f"The part `data` cannot be read: {exc}.", hint="Send JSON text.", field="data") from exc


def _created(made: DocumentCreated) -> dict[str, Any]:
    return {"document": shown(made.document), "batch": made.batch}
