"""API keys: one spelling, with a checksum."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.api_key import (
    ORGANIZATION_SCOPES,
    Scope,
    add_scope_violations,
    assemble,
    hash_key,
    is_well_formed,
    last_four,
)
from outlay_server.domain.errors import Violations

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
randoms = st.binary(min_size=20, max_size=20)


@given(randoms)
def test_a_key_holds_its_160_bits_in_crockfords_base32(random_bytes: bytes) -> None:
    """Checked against the standard library's base32, letter for letter."""
    key = assemble(random_bytes)
    rfc4648 = base64.b32encode(random_bytes).decode()
    assert key[3:35] == rfc4648.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", CROCKFORD))
    assert len(key) == len("sk_") + 32 + 6
    assert key.startswith("sk_")
    assert is_well_formed(key)


@given(randoms, st.integers(3, 40), st.sampled_from(CROCKFORD))
def test_one_wrong_character_is_noticed(random_bytes: bytes, position: int, character: str) -> None:
    """In the secret or in the checksum."""
    key = assemble(random_bytes)
    typo = key[:position] + character + key[position + 1 :]
    assert is_well_formed(typo) is (typo == key)


@given(randoms, st.integers(3, 33))
def test_two_swapped_characters_are_noticed(random_bytes: bytes, position: int) -> None:
    """The other slip that people make."""
    key = assemble(random_bytes)
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert is_well_formed(swapped) is (swapped == key)


def test_keys_of_today_stay_valid() -> None:
    """A key that was given out: alphabet and checksum must never change."""
    key = assemble(bytes(range(20)))
    assert key == "sk_000g40r40m30e209185gr38e1w8124gk2944yw"
    assert last_four(key) == key[-4:]


@pytest.mark.parametrize(
    "text",
    ["", "sk_", "sk_live_abc", "sk-" + "0" * 38, "sk_" + "0" * 38, "sk_" + "0" * 10_000, "sk_\ud800", "Bearer x"],
)
def test_other_text_is_no_key(text: str) -> None:
    """Neither other shapes nor a right shape without its checksum."""
    assert not is_well_formed(text)


def test_a_key_has_one_spelling() -> None:
    """The stored hash is of the text: capitals, blanks and line ends must not pass here and then open nothing."""
    key = assemble(b"\xff" * 20)
    assert not any(map(is_well_formed, (key.upper(), key[:3] + key[3:].upper(), f" {key}", f"{key}\n", key + "0")))


def test_a_key_is_stored_as_its_sha256() -> None:
    """Of the whole text, so that the key can be found by it; text that is no UTF-8 has a hash too."""
    key = assemble(bytes(20))
    assert hash_key(key) == hashlib.sha256(key.encode()).digest()
    assert hash_key("\ud800") != hash_key(key)


def test_a_key_of_an_organization_cannot_hold_admin() -> None:
    """Nor unknown scopes, nor one twice, nor none."""
    violations = Violations()
    add_scope_violations(violations, "scopes", ["spend:check", "admin", "root", "spend:check"])
    assert [violation.field for violation in violations.found()] == ["scopes[1]", "scopes[2]", "scopes[3]"]
    empty = Violations()
    add_scope_violations(empty, "scopes", [])
    assert [violation.field for violation in empty.found()] == ["scopes"]


def test_every_other_scope_may_be_held() -> None:
    """All at once."""
    violations = Violations()
    add_scope_violations(violations, "scopes", sorted(ORGANIZATION_SCOPES))
    assert violations.found() == ()
    assert ORGANIZATION_SCOPES | {Scope.ADMIN} == set(Scope)
