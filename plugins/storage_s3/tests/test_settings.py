"""Which options the variables become."""

import pytest
from dify_kernel.errors import SettingsError
from dify_kernel.settings import load_settings
from dify_storage_s3 import S3Settings

KEYS = {"S3_BUCKET_NAME": "files", "S3_ACCESS_KEY": "me", "S3_SECRET_KEY": "hush"}


def options(**env):
    return load_settings(S3Settings, {**KEYS, **env}).options()


def test_amazon_names_the_bucket_in_the_host_and_others_in_the_path():
    assert options()["enable_virtual_host_style"] == "true"
    assert "enable_virtual_host_style" not in options(S3_ENDPOINT="http://127.0.0.1:9000")
    assert "enable_virtual_host_style" not in options(S3_ADDRESS_STYLE="path")
    assert options(S3_ADDRESS_STYLE="virtual", S3_ENDPOINT="https://s3.example")["enable_virtual_host_style"] == "true"


def test_keys_count_alone_and_the_machines_only_when_asked_for():
    assert options()["disable_ec2_metadata"] == "true"
    assert options(S3_USE_AWS_MANAGED_IAM="true", S3_REGION="eu-west-1") == {"bucket": "files", "region": "eu-west-1"}


@pytest.mark.parametrize("name", list(KEYS))
def test_what_is_missing_is_named(name):
    with pytest.raises(SettingsError, match=name):
        options(**{name: ""})
