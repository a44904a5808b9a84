"""The host's settings: environment variables under Dify's names, with embedded engines as the default.

Read once at start: `HostSettings.read()`. Unset DB_* means SQLite in the data folder, unset REDIS_* an embedded Valkey
there, unset STORAGE_TYPE files there, unset VECTOR_STORE the embedded vector store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from dify_kernel.contracts.node import Limits
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret, load_settings, read_env_file

__all__ = ["HostSettings", "read_environment"]


class HostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the host; a plugin reads its own from the same environment."""

    dify_data: Annotated[str, Doc("Folder of everything that the embedded engines keep.")] = ".dify"
    secret_key: Annotated[
        Secret, Doc("Signs tokens and links, wraps workspace keys; made on first start when unset.")
    ] = Secret()
    mode: Annotated[str, Doc("What `dify serve` runs: api, worker or beat.")] = "api"
    dify_bind_address: Annotated[str, Doc("Address that the API listens on.")] = "127.0.0.1"
    dify_port: Annotated[int, Doc("Port that the API listens on.", ge=0, le=65535)] = 5001
    deploy_env: Annotated[str, Doc("PRODUCTION or DEVELOPMENT; the X-Env header.")] = "PRODUCTION"
    log_level: Annotated[str, Doc("debug, info, warning or error.")] = "info"
    migration_enabled: Annotated[bool, Doc("Upgrade the database at start.")] = True
    disabled_plugins: Annotated[list[str], Doc("Plugins to leave out: `kind:name` or distribution names.")] = []

    database_url: Annotated[Secret, Doc("Whole database URL; takes the place of DB_*.")] = Secret()
    db_type: Annotated[str, Doc("sqlite, postgresql or mysql; unset means SQLite in the data folder.")] = ""
    db_host: Annotated[str, Doc("Database server.")] = "localhost"
    db_port: Annotated[int, Doc("Its port; 0 means the engine's usual one.", ge=0, le=65535)] = 0
    db_username: Annotated[str, Doc("Database user.")] = "postgres"
    db_password: Annotated[Secret, Doc("Its password.")] = Secret()
    db_database: Annotated[str, Doc("Database name.")] = "dify"
    db_extras: Annotated[str, Doc("Extra query string of the connection URL.")] = ""
    sqlalchemy_pool_size: Annotated[int, Doc("Connections kept.", ge=1)] = 10
    sqlalchemy_max_overflow: Annotated[int, Doc("Extra connections allowed.", ge=0)] = 10
    sqlalchemy_pool_recycle: Annotated[int, Doc("Seconds after which a connection is renewed.")] = 3600
    sqlalchemy_pool_pre_ping: Annotated[bool, Doc("Test a connection before use.")] = False
    sqlalchemy_pool_timeout: Annotated[int, Doc("Seconds to wait for a free connection.")] = 30

    redis_host: Annotated[str, Doc("Redis or Valkey server; unset starts an embedded one.")] = ""
    redis_port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 6379
    redis_username: Annotated[str, Doc("Its user.")] = ""
    redis_password: Annotated[Secret, Doc("Its password.")] = Secret()
    redis_db: Annotated[int, Doc("Its database number.", ge=0)] = 0
    redis_use_ssl: Annotated[bool, Doc("Connect by TLS.")] = False
    celery_broker_url: Annotated[Secret, Doc("Another Redis for the queue (a URL); unset shares REDIS_*.")] = Secret()

    storage_type: Annotated[str, Doc("Name of the storage plugin.")] = "opendal"
    vector_store: Annotated[str, Doc("Name of the vector store plugin for new knowledge bases.")] = "sqlite"

    init_password: Annotated[Secret, Doc("Asked for before the first account can be made.")] = Secret()
    console_api_url: Annotated[str, Doc("Public base of the console API.")] = ""
    console_web_url: Annotated[str, Doc("Public base of the console pages.")] = ""
    app_web_url: Annotated[str, Doc("Public base of the pages for people who use apps: links to forms.")] = ""
    cookie_domain: Annotated[str, Doc("Domain of the session cookies, when console and API differ in theirs.")] = ""
    files_url: Annotated[str, Doc("Public base of signed file links.")] = ""
    files_access_timeout: Annotated[int, Doc("Seconds that a signed file link is valid.", ge=1)] = 300
    console_cors_allow_origins: Annotated[
        list[str], Doc("Origins of console pages elsewhere; unset means that of CONSOLE_WEB_URL.")
    ] = []
    web_api_cors_allow_origins: Annotated[list[str], Doc("Origins allowed to call the app APIs.")] = msgspec.field(
        default_factory=lambda: ["*"]
    )

    trigger_url: Annotated[str, Doc("Public base of webhook addresses; unset means that of the API.")] = ""
    webhook_request_body_max_size: Annotated[int, Doc("Bytes of a request to a webhook.", ge=1024)] = 10 * 1024 * 1024
    enable_workflow_schedule_poller_task: Annotated[bool, Doc("Start workflows by their schedules.")] = True
    workflow_schedule_poller_interval: Annotated[int, Doc("Minutes between looks for due schedules.", ge=1)] = 1
    workflow_schedule_poller_batch_size: Annotated[int, Doc("Schedules of one transaction.", ge=1)] = 100
    workflow_schedule_max_dispatch_per_tick: Annotated[int, Doc("Schedules of one look; 0 = no limit.", ge=0)] = 0
    workflow_schedule_misfire_grace: Annotated[
        int, Doc("Seconds by which a schedule may be late (nothing ran) and still run once; later it is skipped.", ge=0)
    ] = 3600

    access_token_expire_minutes: Annotated[int, Doc("Life of a console access token.", ge=1)] = 60
    refresh_token_expire_days: Annotated[float, Doc("Life of a console refresh token.", gt=0)] = 30
    login_lockout_duration: Annotated[int, Doc("Seconds that an address is locked after failed logins.", ge=1)] = 86400

    upload_file_size_limit: Annotated[int, Doc("MB of a document.", ge=1)] = 15
    upload_image_file_size_limit: Annotated[int, Doc("MB of an image.", ge=1)] = 10
    upload_video_file_size_limit: Annotated[int, Doc("MB of a video.", ge=1)] = 100
    upload_audio_file_size_limit: Annotated[int, Doc("MB of a sound.", ge=1)] = 50
    workflow_file_upload_limit: Annotated[int, Doc("Files of one workflow run.", ge=1)] = 10
    upload_file_batch_limit: Annotated[int, Doc("Files that the console uploads at once.", ge=1)] = 5
    image_file_batch_limit: Annotated[int, Doc("Images that the console uploads at once.", ge=1)] = 10
    batch_upload_limit: Annotated[int, Doc("Files that the console takes for one knowledge base at once.", ge=1)] = 20
    document_converter: Annotated[
        str, Doc("Command that writes doc and ppt anew as {format}, from {input} into {folder}, or says their text.")
    ] = ""
    upload_file_extension_blacklist: Annotated[list[str], Doc("Extensions that are refused.")] = []
    annotation_import_file_size_limit: Annotated[int, Doc("MB of a file of annotations.", ge=1)] = 2
    annotation_import_max_records: Annotated[int, Doc("Annotations of one file at most.", ge=1)] = 10_000
    annotation_import_min_records: Annotated[int, Doc("Annotations of one file at least.", ge=1)] = 1
    annotation_import_rate_limit_per_minute: Annotated[int, Doc("Imports of a workspace in a minute.", ge=1)] = 5
    annotation_import_rate_limit_per_hour: Annotated[int, Doc("Imports of a workspace in an hour.", ge=1)] = 20
    annotation_import_max_concurrent: Annotated[int, Doc("Imports of a workspace that may run at a time.", ge=1)] = 2
    request_body_max_size: Annotated[int, Doc("Bytes of a JSON body.", ge=1024)] = 10 * 1024 * 1024

    app_max_execution_time: Annotated[float, Doc("Seconds of an app run.", gt=0)] = 1200
    app_default_active_requests: Annotated[int, Doc("Runs of one app at a time; 0 = no limit.", ge=0)] = 0
    app_max_active_requests: Annotated[int, Doc("Upper bound for all apps; 0 = no limit.", ge=0)] = 0
    workflow_max_execution_steps: Annotated[int, Doc("Node runs of one workflow.", ge=1)] = 500
    workflow_max_execution_time: Annotated[float, Doc("Seconds of one workflow.", gt=0)] = 1200
    workflow_run_lease_seconds: Annotated[
        float, Doc("Seconds after which another process takes a run up whose process does not say that it lives.", ge=1)
    ] = 15
    workflow_run_recovery_interval: Annotated[float, Doc("Seconds between looks for such runs.", gt=0)] = 5
    workflow_call_max_depth: Annotated[int, Doc("Workflows that call each other as tools.", ge=0)] = 5
    workflow_log_retention_days: Annotated[int, Doc("Days that runs are kept when clean-up is on.", ge=1)] = 30
    workflow_log_retention_count: Annotated[
        int, Doc("Finished runs of an app that are kept at most when clean-up is on; 0 = no limit.", ge=0)
    ] = 0
    workflow_log_cleanup_enabled: Annotated[bool, Doc("Delete old runs at night.")] = False
    workflow_log_cleanup_batch_size: Annotated[int, Doc("Runs that are deleted together.", ge=1, le=1000)] = 100
    workflow_payload_max_inline: Annotated[
        int, Doc("Bytes of a value of a run that stay in the database, larger ones go to the storage; 0 = all.", ge=0)
    ] = 64 * 1024
    enable_clean_embedding_cache_task: Annotated[bool, Doc("Forget cached vectors at night.")] = False
    plan_sandbox_clean_day_setting: Annotated[int, Doc("Days that cached vectors are kept then.", ge=1)] = 30
    max_variable_size: Annotated[int, Doc("Bytes of one variable.", ge=1024)] = 200 * 1024
    template_transform_max_length: Annotated[int, Doc("Characters that a template node may give.", ge=1)] = 400_000
    code_max_number: Annotated[int, Doc("Largest number that code may give.")] = 9223372036854775807
    code_min_number: Annotated[int, Doc("Smallest number that code may give.")] = -9223372036854775807
    code_max_depth: Annotated[int, Doc("Levels of what code gives.")] = 5
    code_max_precision: Annotated[int, Doc("Decimal places of a number that code gives.")] = 20
    code_max_string_length: Annotated[int, Doc("Characters of a text that code gives.")] = 400_000
    code_max_string_array_length: Annotated[int, Doc("Texts in a list that code gives.")] = 30
    code_max_object_array_length: Annotated[int, Doc("Objects in a list that code gives.")] = 30
    code_max_number_array_length: Annotated[int, Doc("Numbers in a list that code gives.")] = 1000
    code_execution_endpoint: Annotated[
        str, Doc("Address of a sandbox service that runs code, http://host:port; empty = the jail of this machine.")
    ] = ""
    code_execution_api_key: Annotated[Secret, Doc("Its key.")] = Secret("dify-sandbox")
    code_execution_connect_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 10
    code_execution_read_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 60
    code_execution_write_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 10
    code_execution_ssl_verify: Annotated[bool, Doc("Verify certificates.")] = True
    code_execution_pool_max_connections: Annotated[int, Doc("Connections to it at most.", ge=1)] = 100
    code_execution_pool_max_keepalive_connections: Annotated[int, Doc("Idle ones that are kept.", ge=0)] = 20
    code_execution_pool_keepalive_expiry: Annotated[float, Doc("Seconds that an idle one is kept.", ge=0)] = 5
    sandbox_worker_timeout: Annotated[float, Doc("Seconds of one script.", gt=0)] = 15
    sandbox_max_memory: Annotated[int, Doc("MB of one script.", ge=32)] = 256
    sandbox_max_workers: Annotated[int, Doc("Scripts at a time.", ge=1)] = 4
    sandbox_packages: Annotated[
        str, Doc("Folder of packages that Python code may import, filled with `pip install --target`; empty = none.")
    ] = ""
    http_request_max_connect_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 10
    http_request_max_read_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 600
    http_request_max_write_timeout: Annotated[float, Doc("Seconds.", gt=0)] = 600
    http_request_node_max_binary_size: Annotated[int, Doc("Bytes of a file answer.")] = 10 * 1024 * 1024
    http_request_node_max_text_size: Annotated[int, Doc("Bytes of a text answer.")] = 1024 * 1024
    http_request_node_ssl_verify: Annotated[bool, Doc("Verify certificates.")] = True

    moderation_buffer_size: Annotated[int, Doc("Characters of an answer between two looks of a judge.", ge=1)] = 300

    dsl_export_encrypt_dataset_id: Annotated[bool, Doc("Encrypt dataset ids in exported apps.")] = True

    worker_threads: Annotated[int, Doc("Jobs of one worker process at a time.", ge=1)] = 4

    @classmethod
    def read(cls, env: Mapping[str, str] | None = None) -> HostSettings:
        """The settings of an environment; SettingsError names a bad variable."""
        return load_settings(cls, env if env is not None else read_environment())

    @property
    def data(self) -> Path:
        """The data folder, absolute."""
        return Path(self.dify_data).expanduser().absolute()

    def make_data(self) -> Path:
        """Make the data folder when it is missing; SettingsError where that is not allowed."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(
                f"The data folder {self.data} cannot be made: {exc.strerror}.",
                hint="Choose a folder you may write with --data or DIFY_DATA.",
                setting="DIFY_DATA",
            ) from exc
        return self.data

    @property
    def database(self) -> str:
        """The database URL, password included."""
        if self.database_url:
            return self.database_url.reveal()
        kind = self.db_type.lower()
        if kind in ("", "sqlite"):
            return f"sqlite:///{self.data / 'dify.db'}"
        if kind not in _PORTS:
            raise SettingsError(
                f"DB_TYPE is {self.db_type!r}.", hint="Use sqlite, postgresql or mysql.", setting="DB_TYPE"
            )
        user, password = quote(self.db_username, safe=""), quote(self.db_password.reveal(), safe="")
        extras = f"?{self.db_extras}" if self.db_extras else ""
        host = f"{self.db_host}:{self.db_port or _PORTS[kind]}"
        return f"{_SCHEMES.get(kind, kind)}://{user}:{password}@{host}/{self.db_database}{extras}"

    @property
    def embedded_redis(self) -> bool:
        """Whether the bus is the embedded server of the data folder."""
        return not self.redis_host

    def limits(self) -> Limits:
        """The limits that nodes get."""
        names = {field.name for field in msgspec.structs.fields(Limits)}
        values: dict[str, Any] = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return Limits(**{**values, "code_timeout": self.sandbox_worker_timeout})


_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306}
_SCHEMES = {"postgres": "postgresql", "mariadb": "mysql"}


def read_environment(*, data: str | None = None) -> dict[str, str]:
    """The process environment over the `.env` file of the working directory; `data` sets DIFY_DATA above both."""
    env = {**read_env_file(Path(".env")), **os.environ}
    if data:
        env["DIFY_DATA"] = data
    env["DIFY_DATA"] = str(Path(env.get("DIFY_DATA") or ".dify").expanduser().absolute())
    return env
