"""Where a message may be sent: which URIs are acceptable, and which addresses are on the public internet.

The tables are our own and not those of `ipaddress`, whose `is_global` changes with Python's version and is wrong for
addresses that carry another one inside them (NAT64, 6to4, `::127.0.0.1`).
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from outlay_server.domain.limits import WEBHOOK_URI_MAX_BYTES
from outlay_server.domain.webhook import WebhookFormat

HTTPS_PORT: Final = 443
UNPRIVILEGED_PORT_MIN: Final = 1_024
"""Below it, but for HTTPS's own, listen services that were never meant to be posted to."""

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?\.?", re.ASCII)
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_MAILBOX: Final = re.compile(
    r"[A-Za-z0-9!#$&'*+/=^_`{|}~-]+(?:\.[A-Za-z0-9!#$&'*+/=^_`{|}~-]+)*@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]",
    re.ASCII,
)
_MAILBOX_MAX_LENGTH: Final = 254
_MAILTO: Final = "mailto:"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's own, on every machine there
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
_GLOBAL_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3ffe::/16",
            "3fff::/20",
        ),
    )
)
_MAPPED_4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP_MARKS: Final = (0x0000_5EFE, 0x0200_5EFE)


@dataclass(frozen=True, slots=True)
class DestinationRules:
    """What the server was set up to allow."""

    allow_insecure: bool = False
    """`http`, any port, and addresses that are not public."""
    mail: bool = False
    """There is a relay."""
    mail_domains: tuple[str, ...] = ()
    """Mail goes to these domains only; an empty one is any."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet's, itself and whatever address it carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _MAPPED_4 or address in _NAT64:
        return is_public(_low_bits(address))
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP_MARKS:
        return False
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def uri_violation(uri: str, kind: WebhookFormat, rules: DestinationRules) -> str | None:
    """What is wrong with where an endpoint wants to be sent to, or None. Where its host is, only an attempt finds."""
    if len(uri.encode("utf-8", "replace")) > WEBHOOK_URI_MAX_BYTES:
        return f"must have at most {WEBHOOK_URI_MAX_BYTES} bytes"
    if not _PRINTABLE.fullmatch(uri):
        return "must be set, in printable ASCII without spaces"
    if kind is WebhookFormat.MAIL:
        return _mail_violation(uri, rules)
    return _url_violation(uri, rules)


def mail_recipient(uri: str) -> str:
    """The address of a `mailto:` URI. One, so that an attempt fails or succeeds whole; lists are the mail server's."""
    return unquote(uri.removeprefix(_MAILTO))


def shortened(uri: str) -> str:
    """A URI for the audit: what it points at, and a digest that tells one from another, without what may open it."""
    digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
    if uri.startswith(_MAILTO):
        return f"{_MAILTO}…@{mail_recipient(uri).rpartition('@')[2]} (sha256 {digest})"
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}/… (sha256 {digest})"


def _low_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _mail_violation(uri: str, rules: DestinationRules) -> str | None:
    if not rules.mail:
        return "cannot be mailed to: this server was set up without a mail relay"
    recipient = mail_recipient(uri)
    if not uri.startswith(_MAILTO) or len(recipient) > _MAILBOX_MAX_LENGTH or not _MAILBOX.fullmatch(recipient):
        return "must be mailto: and one address, such as mailto:oncall@example.com"
    if rules.mail_domains and recipient.rpartition("@")[2].lower() not in rules.mail_domains:
        return f"must be of a domain that this server mails to: {', '.join(rules.mail_domains)}"
    return None


def _url_violation(uri: str, rules: DestinationRules) -> str | None:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "must be a URL such as https://example.com/hooks"
    if parts.scheme != "https" and not (parts.scheme == "http" and rules.allow_insecure):
        return "must be https"
    if "@" in parts.netloc:
        return "must not contain a user or password"
    if "\\" in uri or "#" in uri:
        return "must not contain a backslash or a fragment"
    if not rules.allow_insecure and port not in (None, HTTPS_PORT) and (port or 0) < UNPRIVILEGED_PORT_MIN:
        return f"must use port {HTTPS_PORT}, or one from {UNPRIVILEGED_PORT_MIN:,} up"
    return _host_violation(parts, rules)


def _host_violation(parts: SplitResult, rules: DestinationRules) -> str | None:
    host = parts.hostname or ""
    literal = _literal(host)
    if literal is None:
        if not _HOST.fullmatch(host):
            return "must have a host in ASCII; write an international name in its xn-- form"
        if _ends_in_a_number(host):
            return "must not write an address in any other form than 192.0.2.1 or [2001:db8::1]"
        if not rules.allow_insecure and "." not in host.rstrip("."):
            return "must have a host with a domain"
        return None
    if not rules.allow_insecure and not is_public(literal):
        return "must not be a private, loopback, link-local or otherwise special address"
    return None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _ends_in_a_number(host: str) -> bool:
    """Whether resolvers would read the name as an address: `127.1`, `0x7f.1`, `2130706433` (WHATWG URL, 3.5)."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or bool(re.fullmatch(r"0x[0-9a-f]*", last))
