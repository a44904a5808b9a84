"""`dify setup`: the first account, made on the machine itself."""

from __future__ import annotations

import click

from dify_host.cli.call import Call, takes_call

__all__ = ["setup"]


@click.command()
@click.option("--email", required=True, help="Address to log in with.")
@click.option("--password", required=True, help="At least 8 characters, with a letter and a digit.")
@click.option("--name", help="Name that others see; the address' first part by default.")
@takes_call
def setup(call: Call, email: str, password: str, name: str | None) -> None:
    """Make the first account and its workspace; refused once there is one."""
    call.run(_set_up(call, email, password, name or email.partition("@")[0]))


async def _set_up(call: Call, email: str, password: str, name: str) -> None:
    from dify_host.identity.setup import set_up

    async with call.platform() as platform:
        owner = await set_up(platform.db, platform.keyring, email=email, name=name, password=password)
    call.out.done(f"{owner.email} owns the workspace. Log in with the password.")
    call.out.result({"account_id": owner.id, "tenant_id": owner.tenant_id, "email": owner.email})
