"""Sends mails by SMTP. Without settings there is no mail, and whoever wants to send one is told."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Annotated, Final

import msgspec
from dify_kernel.errors import DifyError
from dify_kernel.settings import Doc, Secret

__all__ = ["MailFailed", "MailSettings", "MailUnavailable", "Mailer", "NoMail"]

_TIMEOUT: Final = 30.0


class MailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How mails leave; names are those of the environment variables."""

    mail_type: Annotated[str, Doc("smtp; unset = no mail.")] = ""
    mail_default_send_from: Annotated[str, Doc("Sender, as `Name <address>`.")] = ""
    smtp_server: Annotated[str, Doc("Mail server.")] = ""
    smtp_port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 465
    smtp_username: Annotated[str, Doc("Its user; unset = no login.")] = ""
    smtp_password: Annotated[Secret, Doc("Its password.")] = Secret()
    smtp_use_tls: Annotated[bool, Doc("TLS from the start.")] = False
    smtp_opportunistic_tls: Annotated[bool, Doc("TLS after the greeting (STARTTLS), with SMTP_USE_TLS.")] = False
    smtp_local_hostname: Annotated[str, Doc("The name that this host says in its greeting.")] = ""


class NoMail(DifyError):
    """Nothing can be sent with these settings."""

    code = "mail_not_configured"


class MailFailed(DifyError):
    """The mail server refused a mail."""

    code = "mail_failed"


class MailUnavailable(MailFailed):
    """The mail server does not answer, or asks to come again."""

    retryable = True


class Mailer:
    """Sends one mail at a time, each over a connection of its own."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, to: Sequence[str], subject: str, text: str) -> None:
        """Send a plain text to each address; NoMail, MailFailed, MailUnavailable."""
        settings = self._settings
        if settings.mail_type.lower() != "smtp" or not (settings.smtp_server and settings.mail_default_send_from):
            raise NoMail(
                "No mail can be sent.", hint="Set MAIL_TYPE=smtp, SMTP_SERVER and MAIL_DEFAULT_SEND_FROM.",
                setting="MAIL_TYPE",
            )  # fmt: skip
        mails = [self._mail(address, subject, text) for address in to]
        await asyncio.to_thread(self._send, mails)

    def _mail(self, address: str, subject: str, text: str) -> EmailMessage:
        mail = EmailMessage()
        try:
            mail["From"], mail["To"] = self._settings.mail_default_send_from, address
            mail["Subject"] = " ".join(subject.split())
        except ValueError as exc:
            raise MailFailed(f"{address!r} is no address to send to: {exc}.") from exc
        mail.set_content(text)
        return mail

    def _send(self, mails: list[EmailMessage]) -> None:
        refused: list[str] = []
        try:
            with self._connected() as server:
                for mail in mails:
                    try:
                        server.send_message(mail)
                    except smtplib.SMTPRecipientsRefused:
                        refused.append(str(mail["To"]))  # the others get theirs
        except smtplib.SMTPResponseException as exc:
            kind = MailUnavailable if 400 <= exc.smtp_code < 500 else MailFailed
            raise kind(f"The mail server answered {exc.smtp_code}.") from exc
        except (smtplib.SMTPException, OSError) as exc:
            raise MailUnavailable(f"The mail server cannot be reached: {exc}.") from exc
        if refused:
            raise MailFailed(f"The mail server does not take mails for {', '.join(refused)}.")

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        place = (settings.smtp_server, settings.smtp_port)
        name = settings.smtp_local_hostname or None
        server: smtplib.SMTP
        if settings.smtp_use_tls and not settings.smtp_opportunistic_tls:
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(*place, local_hostname=name, timeout=_TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(*place, local_hostname=name, timeout=_TIMEOUT)
        try:
            if settings.smtp_use_tls and settings.smtp_opportunistic_tls:
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_username:
                server.login(settings.smtp_username, settings.smtp_password.reveal())
        except BaseException:
            server.close()
            raise
        return server
