"""The platform key is the configured one, or one that is made once, shown once and kept for its owner alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outlay_server.domain.api_key import assemble, hash_key, is_well_formed
from outlay_server.server.admin_key import AdminKey, AdminKeyUnusable, resolve_admin_key

KEY = assemble(b"01234567890123456789")


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    made = resolve_admin_key(None, tmp_path / "data").made
    file = tmp_path / "data" / "admin.key"
    assert made is not None
    assert (is_well_formed(made), file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (True, f"{made}\n", 0o600)


def test_the_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        resolve_admin_key(None, tmp_path / "data")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data", tmp_path / "data" / "admin.key")]
    assert modes == [0o700, 0o600]


def test_later_starts_use_the_same_key_and_do_not_show_it(tmp_path: Path) -> None:
    first = resolve_admin_key(None, tmp_path)
    assert resolve_admin_key(None, tmp_path) == AdminKey(first.key_hash, made=None)


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: resolve_admin_key(None, tmp_path), range(8)))
    assert (len({key.key_hash for key in keys}), sum(key.made is not None for key in keys)) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["admin.key"]


def test_a_configured_key_is_used_and_not_written_down(tmp_path: Path) -> None:
    found = resolve_admin_key(KEY, tmp_path / "data")
    assert (found, (tmp_path / "data").exists()) == (AdminKey(hash_key(KEY), made=None), False)


@pytest.mark.parametrize(
    "content", ["", "sk_short", KEY[:-1], f"{KEY} {KEY}", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_file_that_holds_no_key_refuses_the_start(tmp_path: Path, content: str | bytes) -> None:
    """A new key would lock out whoever holds the old one, without a word."""
    (tmp_path / "admin.key").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AdminKeyUnusable, match="holds no key"):
        resolve_admin_key(None, tmp_path)


def test_a_file_that_others_can_read_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    resolve_admin_key(None, tmp_path)
    (tmp_path / "admin.key").chmod(0o640)
    resolve_admin_key(None, tmp_path)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "others can read the admin key")
    ]


def test_a_directory_that_cannot_be_written_to_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the directory should be")
    with pytest.raises(AdminKeyUnusable, match=r"cannot be kept in .*set OUTLAY_ADMIN_KEY"):
        resolve_admin_key(None, tmp_path / "data")
