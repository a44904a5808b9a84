"""Decides which network addresses an outbound request may reach: public ones, and those a setting allows.

Pure: no name is resolved and no socket is opened here. The sources are the IANA special-purpose address
registries (RFC 6890 and later), RFC 4291 (mapped and compatible forms), RFC 3056 (6to4), RFC 4380 (Teredo),
RFC 6052 and 8215 (NAT64), RFC 5214 (ISATAP).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Protocol

from dify_kernel.errors import OutboundRefused, SettingsError

__all__ = ["AddressPolicy", "ConnectPolicy", "IPAddress", "OnlyPeer", "literal_address", "normal_host"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

HINT = "Allow it with SSRF_ALLOWED_HOSTS if that is intended."

# What `is_global` of some Python releases lets through, or what is routable and answers only inside a cloud.
_NEVER_PUBLIC: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments, with a cloud's metadata service in it
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "168.63.129.16/32",  # a cloud's host agent, on a public number
        "2001::/23",  # IETF protocol assignments: Teredo (judged by what it carries), ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 (judged by what it carries)
        "3fff::/20",  # documentation
    )
)
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


class ConnectPolicy(Protocol):
    """What the connecting side asks before it opens a socket."""

    def check(self, host: str, port: int, address: IPAddress) -> None:
        """Return when `address`, to which `host` resolved, may be connected to; raises OutboundRefused."""
        ...


class AddressPolicy:
    """Allows public addresses, and the host names and ranges of an allow-list; refuses everything else.

    Entries: `host`, `host:port`, `address`, `address:port`, `[v6]:port`, `network/prefix`. A host name in the
    list passes whatever it resolves to, so keep such entries narrow. Names match exactly, in any case.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[IPNetwork, int | None]] = []
        for entry in allowed:
            if text := entry.strip():
                self._allow(text)

    def allows_host(self, host: str, port: int) -> bool:
        """Whether the name itself is in the allow-list, for any port or for this one."""
        name = normal_host(host)
        return (name, None) in self._hosts or (name, port) in self._hosts

    def check(self, host: str, port: int, address: IPAddress) -> None:
        """Return when `address`, to which `host` resolved, may be connected to; raises OutboundRefused.

        The message does not tell the resolved address: names of the inner network stay private.
        """
        if self.allows_host(host, port) or self._permits(address, port):
            return
        raise OutboundRefused(f"{host} does not lead to a public address.", hint=HINT, host=host, port=port)

    def check_name(self, host: str, port: int) -> None:
        """Refuse by the host as it is written, without resolving: all that can be done before a proxy."""
        if (address := literal_address(host)) is not None:
            self.check(host, port, address)
        elif not self.allows_host(host, port) and _is_local_name(normal_host(host)):
            raise OutboundRefused(f"{host} is this machine.", hint=HINT, host=host, port=port)

    def _permits(self, address: IPAddress, port: int) -> bool:
        if self._listed(address, port):
            return True
        if inner := list(_embedded(address)):
            return all(self._listed(each, port) or _is_public(each) for each in inner)
        return _is_public(address)

    def _listed(self, address: IPAddress, port: int) -> bool:
        return any(address in network and only in (None, port) for network, only in self._networks)

    def _allow(self, entry: str) -> None:
        text, port = _split_port(entry)
        try:
            if "/" in text:
                self._networks.append((ipaddress.ip_network(text, strict=False), port))
            elif (address := literal_address(text)) is not None:
                self._networks.append((ipaddress.ip_network(address), port))
            else:
                self._hosts.add((normal_host(text), port))
        except ValueError as exc:
            raise _bad_entry(entry) from exc


class OnlyPeer:
    """Allows one host and port at any address: the connection to the configured proxy, and nothing else."""

    def __init__(self, host: str, port: int) -> None:
        self._peer = (normal_host(host), port)

    def check(self, host: str, port: int, address: IPAddress) -> None:
        """Return when this is the peer; raises OutboundRefused."""
        if (normal_host(host), port) != self._peer:
            raise OutboundRefused(f"{host}:{port} would bypass the proxy.", host=host, port=port)


def normal_host(host: str) -> str:
    """The host name in lower case, without brackets and without the root's dot."""
    return host.strip("[]").rstrip(".").lower()


def literal_address(host: str) -> IPAddress | None:
    """The address when the host is one in any spelling (decimal, hex, octal, short); else None."""
    text = normal_host(host)
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    # Ends in a number: the rule of the URL standard for "this is an IPv4 address, or nothing".
    last = text.rpartition(".")[2]
    if not last[:1].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _is_public(address: IPAddress) -> bool:
    if any(address in network for network in _NEVER_PUBLIC if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPAddress) -> Iterator[IPAddress]:
    """The IPv4 addresses that an IPv6 address stands for; none when it stands for itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in _NAT64 or address in _COMPATIBLE:
        yield low
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif (int(address) >> 32) & 0xFFFFFFFF in _ISATAP and address in _UNICAST:
        yield low


def _is_local_name(name: str) -> bool:
    return name in ("", "localhost") or name.endswith(".localhost")


def _split_port(entry: str) -> tuple[str, int | None]:
    """`name:80` and `[::1]:80` in two; an IPv6 address without brackets has no port."""
    head, colon, tail = entry.rpartition(":")
    if not colon or (":" in head and not head.endswith("]")) or entry.endswith("]"):
        return entry, None
    if not head or not tail.isascii() or not tail.isdigit() or not 0 < int(tail) < 65536:
        raise _bad_entry(entry)
    return head, int(tail)


def _bad_entry(entry: str) -> SettingsError:
    return SettingsError(
        f"SSRF_ALLOWED_HOSTS has an entry that is no host, address or network: {entry!r}.",
        hint="Write host, host:port, an address, or network/prefix, separated by commas.",
        setting="SSRF_ALLOWED_HOSTS",
    )
