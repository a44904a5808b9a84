"""What can go wrong with files; codes are those of Dify's Service API."""

from __future__ import annotations

from dify_kernel.errors import BadInput, Forbidden, NotFound, TooLarge

__all__ = [
    "FileAccessDenied",
    "FileNotFound",
    "FileTooLarge",
    "FilenameNotExists",
    "NoFileUploaded",
    "TooManyFiles",
    "UnsupportedFileType",
]


class NoFileUploaded(BadInput):
    """The form has no file."""

    code = "no_file_uploaded"


class TooManyFiles(BadInput):
    """The form has more than one file."""

    code = "too_many_files"


class FilenameNotExists(BadInput):
    """The file has no name."""

    code = "filename_not_exists_error"


class FileTooLarge(TooLarge):
    """The file is over the limit of its kind."""

    code = "file_too_large"


class UnsupportedFileType(BadInput):
    """The content is not what the extension says."""

    code = "unsupported_file_type"
    status = 415


class FileNotFound(NotFound):
    """The workspace has no such file, or its bytes are gone."""

    code = "file_not_found"


class FileAccessDenied(Forbidden):
    """The link is not valid, or no longer."""

    code = "file_access_denied"
