"""Mails about forms, to a mail server that takes what it is given."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from dify_host.net.mail import Mailer, MailFailed, MailSettings, MailUnavailable, NoMail

from ..service.service_house import House
from .forms import approval
from .http_forms import Desk, work

SENDER = "Dify <dify@example.com>"


class MailServer:
    """Speaks SMTP as far as is needed; whom it refuses begins with `no`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.busy = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("421 come again" if self.busy else "220 here")
        while line := (await reader.readline()).decode():
            word = line.strip().upper()
            if word.startswith("RCPT") and "<NO" in word:
                say("550 nobody")
            elif word.startswith("DATA"):
                say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(raw[:-3], policy=default))  # type: ignore[arg-type]
                say("250 taken")
            else:
                say("221 bye" if word == "QUIT" else "250 fine")
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    made = MailServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


@pytest.fixture
def env(env: dict[str, str], server: MailServer) -> dict[str, str]:
    mail = {"MAIL_TYPE": "smtp", "SMTP_SERVER": "127.0.0.1", "SMTP_PORT": str(server.port)}
    return {**env, **mail, "MAIL_DEFAULT_SEND_FROM": SENDER, "APP_WEB_URL": "https://apps.example.com/"}


def by_mail(*items: dict[str, Any], whole: bool = False, **config: Any) -> dict[str, Any]:
    """A form that is sent to these."""
    recipients = {"whole_workspace": whole, "items": list(items)}
    words = {"subject": "About\n{{#start.draft#}}", "body": "Please: {{#url#}} ({{#start.draft#}})"}
    method = {"type": "email", "enabled": True, "config": {"recipients": recipients, **words, **config}}
    return approval(delivery_methods=[method])


def somebody(address: str) -> dict[str, Any]:
    return {"type": "external", "email": address}


async def test_who_is_named_gets_the_link_and_can_answer(house: House, server: MailServer) -> None:
    member = {"type": "member", "user_id": house.owner_id}
    gone = {"type": "member", "user_id": house.workspace.tenant.id}
    desk = await Desk.open(house, by_mail(somebody("ada@example.com"), member, gone, somebody("ada@example.com")))
    await desk.ask()
    assert len(await work(house.platform, "deliver_form")) == 1
    first, second = server.mails
    assert (first["To"], first["From"], first["Subject"]) == ("ada@example.com", SENDER, "About the text")
    assert str(second["To"]).endswith("@example.com")
    link, _, rest = first.get_content().strip().removeprefix("Please: ").partition(" ")
    assert rest == "(the text)"
    base, token = link.rsplit("/", 1)
    assert base == "https://apps.example.com/form"
    assert (await desk.page(token, {"__action": "approve", "comment": "by mail"})).status_code == 200
    await desk.work()
    assert (await desk.detail())["outputs"] == '{"comment":"by mail"}'


async def test_the_whole_workspace(house: House, server: MailServer) -> None:
    desk = await Desk.open(house, by_mail(whole=True))
    await desk.ask()
    await work(house.platform, "deliver_form")
    assert len(server.mails) == 1


async def test_nobody_is_told_of_a_form_that_is_answered(house: House, server: MailServer) -> None:
    desk = await Desk.open(house, by_mail(somebody("ada@example.com")))
    asked = await desk.ask()
    await desk.by_link(house.platform.form_links.token(asked["form_id"]), comment="already")
    await work(house.platform, "deliver_form")
    assert server.mails == []


async def test_one_address_that_is_refused_stops_no_other(server: MailServer) -> None:
    mailer = Mailer(settings(server))
    with pytest.raises(MailFailed, match=r"no@example\.com") as caught:
        await mailer.send(["no@example.com", "ada@example.com"], "s", "t")
    assert not caught.value.retryable
    assert [mail["To"] for mail in server.mails] == ["ada@example.com"]


async def test_a_server_that_is_busy_or_away_is_asked_again(server: MailServer) -> None:
    server.busy = True
    with pytest.raises(MailUnavailable) as caught:
        await Mailer(settings(server)).send(["ada@example.com"], "s", "t")
    assert caught.value.retryable
    nowhere = MailSettings(mail_type="smtp", smtp_server="127.0.0.1", smtp_port=1, mail_default_send_from=SENDER)
    with pytest.raises(MailUnavailable):
        await Mailer(nowhere).send(["ada@example.com"], "s", "t")


async def test_a_subject_adds_no_headers(server: MailServer) -> None:
    await Mailer(settings(server)).send(["ada@example.com"], "one\r\nBcc: eve@example.com", "t")
    (mail,) = server.mails
    assert (mail["Subject"], mail["Bcc"]) == ("one Bcc: eve@example.com", None)
    with pytest.raises(MailFailed):
        await Mailer(settings(server)).send(["ada@example.com\r\nBcc: eve@example.com"], "s", "t")


def settings(server: MailServer) -> MailSettings:
    return MailSettings(mail_type="smtp", smtp_server="127.0.0.1", smtp_port=server.port, mail_default_send_from=SENDER)


async def test_without_settings_the_log_says_who_was_not_told(
    house: House, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NoMail, match="MAIL_TYPE"):
        await Mailer(MailSettings()).send(["ada@example.com"], "s", "t")
    house.platform.env.pop("MAIL_TYPE")
    desk = await Desk.open(house, by_mail(somebody("ada@example.com")))
    asked = await desk.ask()
    await work(house.platform, "deliver_form")
    assert server.mails == []
    assert any(asked["form_id"] in record.getMessage() for record in caplog.records)
