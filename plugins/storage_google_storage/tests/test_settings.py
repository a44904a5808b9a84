"""Which options the variables become."""

import base64
import json

import pytest
from dify_kernel.errors import SettingsError
from dify_kernel.settings import load_settings
from dify_storage_google_storage import GoogleStorageSettings

ACCOUNT = base64.b64encode(json.dumps({"type": "service_account", "private_key": "hush"}).encode()).decode()


def options(**env):
    return load_settings(GoogleStorageSettings, {"GOOGLE_STORAGE_BUCKET_NAME": "files", **env}).options()


def test_without_an_account_the_machine_is_asked():
    assert options() == {"bucket": "files"}
    assert options(GOOGLE_STORAGE_SERVICE_ACCOUNT_JSON_BASE64=ACCOUNT)["credential"] == ACCOUNT


def test_another_server_is_asked_without_credentials():
    assert options(GOOGLE_STORAGE_ENDPOINT="http://127.0.0.1:1")["allow_anonymous"] == "true"


@pytest.mark.parametrize("account", ["{not base64", base64.b64encode(b"no json").decode()])
def test_a_broken_account_is_named_and_not_shown(account):
    with pytest.raises(SettingsError, match="SERVICE_ACCOUNT") as caught:
        options(GOOGLE_STORAGE_SERVICE_ACCOUNT_JSON_BASE64=account)
    assert account not in str(caught.value)


def test_a_missing_bucket_is_named():
    with pytest.raises(SettingsError, match="GOOGLE_STORAGE_BUCKET_NAME"):
        options(GOOGLE_STORAGE_BUCKET_NAME="")
