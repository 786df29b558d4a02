"""Signing secrets in the database: plain or sealed, and readable across a change of keys."""

import pytest

from outlay_server.store.sealing import CannotOpen, FernetSealer, PlainSealer, SealingKeyInvalid

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD, NEW = ("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=")


def test_a_plain_secret_is_stored_as_it_is() -> None:
    stored = PlainSealer().seal(SECRET)
    assert (stored, PlainSealer().open(stored)) == (f"plain:{SECRET}", SECRET)


def test_a_sealed_secret_shows_nothing_of_itself() -> None:
    sealer = FernetSealer([OLD])
    stored = sealer.seal(SECRET)
    assert SECRET[6:] not in stored
    assert sealer.seal(SECRET) != stored
    assert sealer.open(stored) == SECRET


def test_a_new_key_seals_while_the_old_one_still_opens() -> None:
    """Nothing has to be sealed again at once; and what was plain before the first key is read too."""
    stored = FernetSealer([OLD]).seal(SECRET)
    both = FernetSealer([NEW, OLD])
    assert both.open(stored) == SECRET
    assert FernetSealer([NEW]).open(both.seal(SECRET)) == SECRET
    assert both.open(PlainSealer().seal(SECRET)) == SECRET


def test_without_its_key_a_secret_stays_shut() -> None:
    stored = FernetSealer([OLD]).seal(SECRET)
    for sealer in (FernetSealer([NEW]), PlainSealer()):
        with pytest.raises(CannotOpen):
            sealer.open(stored)


def test_a_secret_that_somebody_changed_is_not_opened() -> None:
    stored = FernetSealer([OLD]).seal(SECRET)
    changed = stored[:-6] + ("A" if stored[-6] != "A" else "B") + stored[-5:]
    with pytest.raises(CannotOpen):
        FernetSealer([OLD]).open(changed)


@pytest.mark.parametrize("key", ["", "short", OLD[:-2], "\u00fc" * 44])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(SealingKeyInvalid):
        FernetSealer([key])
