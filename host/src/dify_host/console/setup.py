"""What a browser asks first: whether there is an account yet, which version this is, what it offers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery, JSONBody

from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import EVERYBODY, MEMBERS, ConsoleAccount
from dify_host.http.cookies import SessionCookies
from dify_host.identity.accounts import Accounts, ProfileChange
from dify_host.identity.errors import AlreadySetUp
from dify_host.identity.setup import is_set_up, set_up, setup_time
from dify_host.service.shapes import Success
from dify_host.version import VERSION

__all__ = ["FeatureController", "SetupController"]


class SetupBody(msgspec.Struct, kw_only=True):
    """Body of `/setup`; the password is plain here."""

    email: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
    password: str
    language: str | None = None

    def __repr__(self) -> str:
        return f"SetupBody(email={self.email!r}, name={self.name!r})"


class InitBody(msgspec.Struct, kw_only=True):
    """Body of `/init`."""

    password: Annotated[str, msgspec.Meta(max_length=1000)]

    def __repr__(self) -> str:
        return "InitBody()"


class Progress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far the setup is."""

    step: str = msgspec.field()
    setup_at: str | None = None


class SetupController(Controller):
    """Routes that need no login."""

    path = "/"
    opt = EVERYBODY

    @get("/setup")
    async def progress(self, request: Call) -> Progress:
        """Whether somebody made the first account."""
        at = await setup_time(platform_of(request).db)
        return Progress(step="not_started") if at is None else Progress(step="finished", setup_at=at.isoformat())

    @post("/setup", status_code=201)
    async def set_up(self, data: JSONBody[SetupBody], request: Call) -> Success:
        """Make the first account and its workspace; refused ever after, and before the installation's password."""
        platform = platform_of(request)
        if not await is_set_up(platform.db):
            platform.init_gate.check(request.cookies.get(SessionCookies(platform.settings).init) or "")
        owner = await set_up(platform.db, platform.keyring, email=data.email, name=data.name, password=data.password)
        if data.language:
            change = ProfileChange(interface_language=data.language)
            await Accounts(platform.db).change_profile(owner.id, change)
        return Success()

    @get("/init")
    async def initialised(self, request: Call) -> dict[str, str]:
        """Whether the password of the installation has been entered, where there is one."""
        platform = platform_of(request)
        shown = request.cookies.get(SessionCookies(platform.settings).init) or ""
        done = platform.init_gate.is_open(shown) or await is_set_up(platform.db)
        return {"status": "finished" if done else "not_started"}

    @post("/init", status_code=201)
    async def initialise(self, data: JSONBody[InitBody], request: Call) -> Response[Success]:
        """Enter the password of the installation; this browser may then make the first account."""
        platform = platform_of(request)
        if await is_set_up(platform.db):
            raise AlreadySetUp("The platform is set up already.", hint="Log in.")
        client = request.client.host if request.client else ""
        response = Response(Success())
        shown = await platform.init_gate.enter(data.password, client=client)
        SessionCookies(platform.settings).let_in(response, shown)
        return response

    @get("/ping")
    async def ping(self) -> dict[str, str]:
        """Whether the API answers."""
        return {"result": "pong"}

    @get("/version")
    async def version(self, current_version: FromQuery[str | None] = None) -> dict[str, Any]:
        """This version; no newer one is looked for."""
        features = {"can_replace_logo": False, "model_load_balancing_enabled": False}
        found = {"version": VERSION, "release_date": "", "release_notes": "", "can_auto_update": False}
        return {**found, "features": features}

    @get("/system-features")
    async def system_features(self, request: Call) -> dict[str, Any]:
        """What the login page shows."""
        methods = platform_of(request).registry.login_methods()
        return {
            "sso_enforced_for_signin": False,
            "sso_enforced_for_signin_protocol": "",
            "enable_marketplace": False,
            "max_plugin_package_size": 0,
            "enable_email_code_login": False,
            "enable_email_password_login": "password" in methods,
            "enable_social_oauth_login": False,
            "is_allow_register": False,
            "is_allow_create_workspace": False,
            "is_email_setup": False,
            "license": {"status": "none", "expired_at": "", "workspaces": _unlimited(enabled=False)},
            "branding": {
                "enabled": False,
                **dict.fromkeys(("application_title", "login_page_logo", "workspace_logo", "favicon"), ""),
            },
            "webapp_auth": {
                "enabled": False,
                "allow_sso": False,
                "sso_config": {"protocol": ""},
                "allow_email_code_login": False,
                "allow_email_password_login": False,
            },
            "plugin_installation_permission": {
                "plugin_installation_scope": "none",
                "restrict_to_marketplace_only": False,
            },
            "enable_change_email": False,
            "plugin_manager": {"enabled": False},
        }


class FeatureController(Controller):
    """What a workspace may use: everything, as nothing is sold here."""

    path = "/"

    @get("/features", opt=MEMBERS)
    async def features(self, caller: ConsoleAccount) -> dict[str, Any]:
        """The switches and limits of the workspace; a limit of 0 is none."""
        sized = ("members", "apps", "vector_space", "annotation_quota_limit", "documents_upload_quota")
        return {
            "billing": {"enabled": False, "subscription": {"plan": "sandbox", "interval": ""}},
            "education": {"enabled": False, "activated": False},
            **{name: {"size": 0, "limit": 0} for name in sized},
            "knowledge_rate_limit": 0,
            "docs_processing": "standard",
            "can_replace_logo": False,
            "model_load_balancing_enabled": False,
            "dataset_operator_enabled": True,
            "webapp_copyright_enabled": True,
            "workspace_members": _unlimited(enabled=False),
            "is_allow_transfer_workspace": True,
            **{name: {"usage": 0, "limit": 0, "reset_date": 0} for name in ("trigger_event", "api_rate_limit")},
            "knowledge_pipeline": {"publish_enabled": False},
            "next_credit_reset_date": 0,
        }


def _unlimited(*, enabled: bool) -> dict[str, Any]:
    return {"enabled": enabled, "size": 0, "limit": 0}
