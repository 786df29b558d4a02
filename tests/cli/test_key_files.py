"""Keys that are made and kept without a service."""

import stat
from pathlib import Path

from outlay_server.domain.api_key import is_well_formed
from support.command_line import Cli


def test_generate_prints_a_key_and_nothing_else(offline_cli: Cli) -> None:
    first, second = (offline_cli("keys", "generate").ok().out for _ in range(2))
    assert first != second
    assert is_well_formed(first.strip())
    assert first.count("\n") == 1


def test_generate_keeps_a_key_in_a_private_file_and_shows_nothing(offline_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    assert offline_cli("keys", "generate", "--secret-file", str(file)).ok().out == ""
    assert is_well_formed(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_generate_never_overwrites_a_key(offline_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("kept")
    ran = offline_cli("keys", "generate", "--secret-file", str(file))
    assert (ran.code, file.read_text()) == (1, "kept")
    assert "File exists" in ran.err
