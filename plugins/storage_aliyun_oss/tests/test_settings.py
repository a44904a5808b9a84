"""Which options the variables become."""

import pytest
from dify_kernel.errors import SettingsError
from dify_kernel.settings import load_settings
from dify_storage_aliyun_oss import AliyunOssSettings

ENV = {
    "ALIYUN_OSS_BUCKET_NAME": "files",
    "ALIYUN_OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com",
    "ALIYUN_OSS_ACCESS_KEY": "me",
    "ALIYUN_OSS_SECRET_KEY": "hush",
}


def options(**env):
    return load_settings(AliyunOssSettings, {**ENV, **env}).options()


def test_the_folder_is_the_root_of_all_keys():
    assert "root" not in options()
    assert options(ALIYUN_OSS_PATH="a/b/")["root"] == "/a/b"


@pytest.mark.parametrize("name", list(ENV))
def test_what_is_missing_is_named(name):
    with pytest.raises(SettingsError, match=name):
        options(**{name: ""})
