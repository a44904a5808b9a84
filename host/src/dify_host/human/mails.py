"""Tells people of a form by mail: whom, in which words, with the link to the form's page."""

from __future__ import annotations

import logging
from typing import Any, Final

from dify_kernel.errors import BadInput, NotFound

from dify_host.human.errors import FormNotFound
from dify_host.human.links import FormLinks
from dify_host.human.records import WAITING
from dify_host.human.rows import EMAIL
from dify_host.human.service import FormService
from dify_host.identity.workspaces import Members
from dify_host.net.mail import Mailer, NoMail

__all__ = ["FormMails"]

log = logging.getLogger(__name__)

_URL: Final = "{{#url#}}"


class FormMails:
    """The mails of one workspace's forms."""

    def __init__(self, forms: FormService, links: FormLinks, members: Members, mailer: Mailer) -> None:
        self._forms, self._links, self._members, self._mailer = forms, links, members, mailer

    async def send(self, form_id: str) -> None:
        """Send what the form asks for while it is open; a mail that cannot be sent at all is told in the log.

        Raises MailFailed, MailUnavailable.
        """
        try:
            form = await self._forms.get(form_id)
        except FormNotFound:
            return
        if form.status != WAITING:
            return
        for method in form.deliveries:
            config = method.get("config")
            if method.get("type") != EMAIL or not isinstance(config, dict):
                continue
            addresses = await self._addresses(config.get("recipients"))
            subject = str(config.get("subject") or form.node_title or "A question for you")
            body = str(config.get("body") or _URL)
            try:
                await self._mailer.send(addresses, subject, body.replace(_URL, self._links.url(form.id)))
            except NoMail as exc:
                log.warning("Nobody is told of form %s by mail: %s", form.id, exc)
                return

    async def _addresses(self, recipients: Any) -> list[str]:
        """The addresses that are named, each once: members of the workspace, and others."""
        if not isinstance(recipients, dict):
            return []
        found: list[str] = []
        if recipients.get("whole_workspace") or recipients.get("include_bound_group"):
            found += [member.email for member in await self._members.list()]
        for item in recipients.get("items") or []:
            if item.get("type") == "member":
                try:
                    found.append((await self._members.get(str(item.get("user_id") or item.get("reference_id")))).email)
                except (NotFound, BadInput) as exc:
                    log.warning("A form is not sent to somebody who is no member: %s", exc)
            elif item.get("email"):
                found.append(str(item["email"]))
        return list(dict.fromkeys(found))
