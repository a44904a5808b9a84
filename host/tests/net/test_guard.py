"""The address policy: every way to spell or wrap a private address is refused, and the allow-list opens it."""

from __future__ import annotations

import ipaddress

import pytest
from dify_host.net.guard import AddressPolicy, OnlyPeer, literal_address
from dify_kernel.errors import OutboundRefused, SettingsError
from hypothesis import given
from hypothesis import strategies as st

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.51.100.7",
    "203.0.113.9", "198.18.0.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "168.63.129.16",
    "::", "::1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1",
    "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "5f00::1", "64:ff9b:1::808:808",
    "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1",
    "2001:0:a00:1::f5ff:fffe", "2001:0:808:808:0:0:f5ff:fffe",
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:a00:1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8", "2002:808:808::1", "192.0.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(OutboundRefused):
        AddressPolicy().check("name.example", 443, ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    AddressPolicy().check("name.example", 443, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("spelling", "address"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.0.0.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("[::1]", "::1"),
        ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
    ],
)
def test_every_spelling_of_an_address_is_read(spelling: str, address: str) -> None:
    assert literal_address(spelling) == ipaddress.ip_address(address)
    with pytest.raises(OutboundRefused):
        AddressPolicy().check_name(spelling, 80)


@pytest.mark.parametrize("name", ["example.com", "1password.com", "a.1b", "7zip.org", "127.0.0.1.nip.io"])
def test_a_name_is_not_an_address(name: str) -> None:
    assert literal_address(name) is None
    AddressPolicy().check_name(name, 80)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "x.localhost", ""])
def test_names_of_this_machine_are_refused_unresolved(name: str) -> None:
    with pytest.raises(OutboundRefused):
        AddressPolicy().check_name(name, 80)


@pytest.mark.parametrize(
    ("setting", "host", "port", "address", "passes"),
    [
        ("ollama", "ollama", 11434, "10.0.0.5", True),
        ("Ollama.", "OLLAMA", 11434, "10.0.0.5", True),
        ("ollama:11434", "ollama", 11434, "10.0.0.5", True),
        ("ollama:11434", "ollama", 22, "10.0.0.5", False),
        ("ollama", "notollama", 80, "10.0.0.5", False),
        ("ollama", "sub.ollama", 80, "10.0.0.5", False),
        ("10.0.0.0/8", "any", 80, "10.9.9.9", True),
        ("10.0.0.0/8", "any", 80, "11.0.0.1", True),
        ("10.0.0.0/8", "any", 80, "192.168.0.1", False),
        ("10.0.0.0/8", "any", 80, "::ffff:10.1.1.1", True),
        ("10.0.0.0/8", "any", 80, "::ffff:192.168.0.1", False),
        ("10.0.0.5", "any", 80, "10.0.0.5", True),
        ("10.0.0.5:80", "any", 80, "10.0.0.5", True),
        ("10.0.0.5:80", "any", 81, "10.0.0.5", False),
        ("10.0.0.5", "any", 80, "10.0.0.6", False),
        ("fd00::/8", "any", 80, "fd12::1", True),
        ("::1", "any", 80, "::1", True),
        ("[::1]:8080", "any", 8080, "::1", True),
        ("[::1]:8080", "any", 80, "::1", False),
        (" a , 10.0.0.5 ,", "any", 80, "10.0.0.5", True),
        ("64:ff9b:1::/48", "any", 80, "64:ff9b:1::808:808", True),
    ],
)  # fmt: skip
def test_allow_list(setting: str, host: str, port: int, address: str, passes: bool) -> None:
    policy = AddressPolicy(setting.split(","))
    if passes:
        policy.check(host, port, ipaddress.ip_address(address))
    else:
        with pytest.raises(OutboundRefused):
            policy.check(host, port, ipaddress.ip_address(address))


@pytest.mark.parametrize("setting", ["10.0.0.0/99", "host:port", "host:0", "host:70000", ":80", "a/b"])
def test_a_malformed_list_is_reported(setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        AddressPolicy(setting.split(","))
    assert caught.value.where == {"setting": "SSRF_ALLOWED_HOSTS"}


def test_the_refusal_keeps_the_inner_address_to_itself() -> None:
    with pytest.raises(OutboundRefused) as caught:
        AddressPolicy().check("inner.example", 80, ipaddress.ip_address("10.11.12.13"))
    assert "10.11.12.13" not in f"{caught.value} {caught.value.where}"
    assert "SSRF_ALLOWED_HOSTS" in str(caught.value)


def test_only_the_peer() -> None:
    policy = OnlyPeer("proxy", 3128)
    policy.check("proxy", 3128, ipaddress.ip_address("10.0.0.1"))
    for host, port in (("proxy", 80), ("other", 3128), ("8.8.8.8", 3128)):
        with pytest.raises(OutboundRefused):
            policy.check(host, port, ipaddress.ip_address("8.8.8.8"))


def _wrapped(v4: int) -> list[ipaddress.IPv6Address]:
    return [
        ipaddress.IPv6Address((0xFFFF << 32) | v4),
        ipaddress.IPv6Address((0x64FF9B << 96) | v4),
        ipaddress.IPv6Address((0x2002 << 112) | (v4 << 80)),
        ipaddress.IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (v4 ^ 0xFFFFFFFF)),
    ]


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_a_wrapped_address_is_judged_like_the_address(v4: int) -> None:
    policy = AddressPolicy()

    def passes(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        try:
            policy.check("name", 80, address)
        except OutboundRefused:
            return False
        return True

    plain = passes(ipaddress.IPv4Address(v4))
    assert [passes(each) for each in _wrapped(v4)] == [plain] * 4


@given(st.ip_addresses())
def test_nothing_passes_that_python_calls_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_link_local or address.is_loopback:
        inner = getattr(address, "sixtofour", None) or getattr(address, "teredo", None)
        mapped = getattr(address, "ipv4_mapped", None)
        if inner is None and mapped is None:
            with pytest.raises(OutboundRefused):
                AddressPolicy().check("name", 80, address)
