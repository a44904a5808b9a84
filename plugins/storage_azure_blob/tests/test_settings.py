"""Which options the variables become."""

import pytest
from dify_kernel.errors import SettingsError
from dify_kernel.settings import load_settings
from dify_storage_azure_blob import AzureBlobSettings

ENV = {
    "AZURE_BLOB_ACCOUNT_NAME": "acme",
    "AZURE_BLOB_ACCOUNT_KEY": "aHVzaA==",
    "AZURE_BLOB_CONTAINER_NAME": "files",
}


def options(**env):
    return load_settings(AzureBlobSettings, {**ENV, **env}).options()


def test_the_account_has_its_address():
    assert options()["endpoint"] == "https://acme.blob.core.windows.net"
    assert options(AZURE_BLOB_ACCOUNT_URL="http://127.0.0.1:1/acme/")["endpoint"] == "http://127.0.0.1:1/acme"


def test_the_identity_of_the_machine_needs_no_key():
    assert "account_key" not in options(AZURE_BLOB_ACCOUNT_KEY="managedidentity")
    assert options()["account_key"] == "aHVzaA=="


@pytest.mark.parametrize("name", list(ENV))
def test_what_is_missing_is_named(name):
    with pytest.raises(SettingsError, match=name):
        options(**{name: ""})
