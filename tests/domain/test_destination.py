"""Which URIs and addresses are acceptable, and how a URI is told to the audit."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.test_addresses import PRIVATE, PUBLIC
from outlay_server.domain.destination import DestinationRules, is_public, shortened, uri_violation
from outlay_server.domain.webhook import WebhookFormat

STRICT = DestinationRules()
MAIL = DestinationRules(mail=True, mail_domains=("example.com",))


@pytest.mark.parametrize("text", [address for address in PRIVATE if ":" in address or address[0].isdigit()])
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text.partition("%")[0]))


@pytest.mark.parametrize("text", PUBLIC)
def test_other_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_nothing_that_python_calls_private_is_public(address: ipaddress.IPv4Address) -> None:
    """Python's table is another's: where it says private, so do we, bare and inside IPv6."""
    if not address.is_global:
        assert not is_public(address)
        for prefix in ("::ffff:", "64:ff9b::", "::"):
            assert not is_public(ipaddress.ip_address(f"{prefix}{address}"))


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global or address in ipaddress.ip_network("64:ff9b::/96") or address.ipv4_mapped


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com",
        "https://example.com:443/hooks?token=x",
        "https://hooks.example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
        "https://example.com./",
    ],
)
def test_ordinary_urls_are_accepted(uri: str) -> None:
    assert uri_violation(uri, WebhookFormat.STANDARD, STRICT) is None


@pytest.mark.parametrize(
    ("uri", "rules", "accepted"),
    [
        ("mailto:oncall@example.com", MAIL, True),
        ("mailto:on%2Dcall@example.com", MAIL, True),
        ("mailto:oncall@example.com", STRICT, False),
        ("mailto:oncall@elsewhere.example", MAIL, False),
        ("mailto:a@example.com,b@example.com", MAIL, False),
        ("mailto:oncall@example.com?bcc=all@example.com", MAIL, False),
        ("mailto:oncall@example.com%0d%0aBcc:all@example.com", MAIL, False),
        ("mailto:<oncall@example.com>", MAIL, False),
        ("mailto:@example.com", MAIL, False),
        ("mailto:oncall@[127.0.0.1]", MAIL, False),
        ("oncall@example.com", MAIL, False),
        ("https://example.com", MAIL, False),
    ],
)
def test_mail_goes_to_one_address_of_a_domain_that_is_mailed_to(
    uri: str, rules: DestinationRules, accepted: bool
) -> None:
    assert (uri_violation(uri, WebhookFormat.MAIL, rules) is None) == accepted


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://hooks.slack.com/services/T0/B0/XXXX", "https://hooks.slack.com/… (sha256 "),
        ("mailto:oncall@example.com", "mailto:…@example.com (sha256 "),
    ],
)
def test_the_audit_is_told_the_host_and_a_digest(uri: str, shown: str) -> None:
    """What opens the receiver is not in it, and two URIs are still told apart."""
    assert shortened(uri).startswith(shown)
    assert "XXXX" not in shortened(uri)
    assert shortened(uri) != shortened(uri + "x")
