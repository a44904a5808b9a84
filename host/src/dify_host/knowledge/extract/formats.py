"""The registry of formats: what reads which extension."""

from __future__ import annotations

from collections.abc import Callable

from dify_host.knowledge.errors import UnsupportedFileType
from dify_host.knowledge.extract.archive import as_written_mostly
from dify_host.knowledge.extract.convert import CONVERTED
from dify_host.knowledge.extract.csv_rows import read_csv
from dify_host.knowledge.extract.docx import read_docx
from dify_host.knowledge.extract.epub import read_epub
from dify_host.knowledge.extract.html import read_html
from dify_host.knowledge.extract.json_values import read_json, read_jsonl
from dify_host.knowledge.extract.mail import read_eml, read_msg
from dify_host.knowledge.extract.markdown import read_markdown
from dify_host.knowledge.extract.opendocument import read_ods, read_odt
from dify_host.knowledge.extract.pdf import read_pdf
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.pptx import read_pptx
from dify_host.knowledge.extract.rtf import read_rtf
from dify_host.knowledge.extract.text import Text, read_text
from dify_host.knowledge.extract.xls import read_xls
from dify_host.knowledge.extract.xlsx import read_xlsx
from dify_host.knowledge.extract.xml_elements import read_xml

__all__ = ["EXTENSIONS", "PLAIN", "extension_of", "read", "reader_of"]

Reader = Callable[[bytes], list[Text]]

_READERS: dict[str, Reader] = {
    "txt": read_text,
    "vtt": read_text,
    "properties": read_text,
    "md": read_markdown,
    "markdown": read_markdown,
    "mdx": read_markdown,
    "html": read_html,
    "htm": read_html,
    "pdf": read_pdf,
    "docx": read_docx,
    "csv": read_csv,
    "xlsx": read_xlsx,
    "xls": read_xls,
    "pptx": read_pptx,
    "epub": read_epub,
    "eml": read_eml,
    "msg": read_msg,
    "xml": read_xml,
    "json": read_json,
    "jsonl": read_jsonl,
    "odt": read_odt,
    "ods": read_ods,
    "rtf": read_rtf,
}

#: Those that read the pictures of a document, too.
_PICTURED: dict[str, Callable[[bytes, Pictures], list[Text]]] = {
    "docx": read_docx,
    "pptx": read_pptx,
    "pdf": read_pdf,
    "epub": read_epub,
    **dict.fromkeys(("html", "htm"), read_html),
    **dict.fromkeys(("md", "markdown", "mdx"), read_markdown),
}

_OFFICE = frozenset(("docx", "xlsx", "pptx"))

#: The extensions of documents, without the dot; those of `CONVERTED` need a converter.
EXTENSIONS = (*_READERS, *CONVERTED)

#: Those whose bytes are the text itself.
PLAIN = frozenset(extension for extension, reader in _READERS.items() if reader is read_text)


def extension_of(filename: str) -> str:
    """Return the supported extension of a file name, in lower case; UnsupportedFileType otherwise."""
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    if extension not in EXTENSIONS:
        raise UnsupportedFileType(
            f"Files of type {extension or 'unknown'!r} cannot be read as documents.",
            hint=f"Supported: {', '.join(EXTENSIONS)}.",
            file=filename,
        )
    return extension


def reader_of(extension: str) -> Reader:
    """Return what reads an extension that `extension_of` gave; UnsupportedFileType for one that needs a converter."""
    if extension in CONVERTED:
        raise UnsupportedFileType(f"Files of type {extension} need a converter.", hint="Save them in the new format.")
    return _READERS[extension]


def read(data: bytes, extension: str, pictures: Pictures | None = None) -> list[Text]:
    """Read a document; `pictures` takes those of the formats in which they are found."""
    reader = reader_of(extension)
    if extension in _OFFICE:
        data = as_written_mostly(data, extension)
    if pictures is not None and extension in _PICTURED:
        return _PICTURED[extension](data, pictures)
    return reader(data)
