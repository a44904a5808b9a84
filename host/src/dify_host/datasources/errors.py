"""Errors of data sources that are the host's: those of the sources themselves are of the kernel."""

from __future__ import annotations

from dify_kernel.errors import DatasourceError, NotFound

__all__ = ["DatasourceCredentialsMissing", "DatasourceNotFound"]


class DatasourceNotFound(NotFound):
    """No installed plugin offers that provider or source."""

    code = "datasource_not_found"


class DatasourceCredentialsMissing(DatasourceError):
    """The workspace has no credentials for a provider that needs some."""

    code = "datasource_credentials_missing"
