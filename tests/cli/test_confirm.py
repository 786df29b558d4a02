"""Asking first, on a real terminal."""

import os
import pty
import subprocess

import pytest

from support.command_line import Cli
from support.server import OUTLAY, ServerProcess


@pytest.mark.parametrize(("answer", "code", "hard_cap"), [("y", 0, "5.00 USD"), ("n", 1, "none"), ("", 1, "none")])
def test_a_cap_below_what_is_spent_is_set_only_when_the_user_agrees(
    cli: Cli, organization: str, shared_server: ServerProcess, answer: str, code: int, hard_cap: str
) -> None:
    cli("spend", "record", "7.50", "--unit", "USD", "--org", organization).ok()
    command = ("budgets", "set", "spending", "--org", organization, "--hard-cap", "5")
    returned, err = _on_a_terminal(shared_server, f"{answer}\n", *command)
    assert returned == code
    assert "5.00 USD is below the 7.50 USD that this cycle has spent already" in err
    assert "Go on? [y/N]:" in err
    assert cli("budgets", "get", "spending", "--org", organization).ok().details["hard cap"] == hard_cap


def test_ctrl_c_at_the_question_changes_nothing(cli: Cli, organization: str, shared_server: ServerProcess) -> None:
    returned, _ = _on_a_terminal(shared_server, "\x03", "orgs", "delete", organization)
    assert returned == 130
    cli("orgs", "get", organization).ok()


def _on_a_terminal(server: ServerProcess, typed: str, *arguments: str) -> tuple[int, str]:
    """Run with a terminal as standard input, typed to as by a user, and return exit code and standard error."""
    ours, theirs = pty.openpty()
    environment = {"OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": server.admin_key}
    # A session of its own whose controlling terminal this is, so that a typed Ctrl-C becomes a signal.
    program = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "from outlay_cli.main import main; sys.exit(main())"
    )
    python = OUTLAY.with_name("python")
    process = subprocess.Popen(
        [python, "-c", program, *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")} | environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        asked = b""
        while b"[y/N]:" not in asked:
            read = process.stderr.read1()
            assert read, f"it ended without asking: {asked!r}"
            asked += read
        rest = _typed(process, ours, typed)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    return process.returncode, (asked + rest).decode()


def _typed(process: "subprocess.Popen[bytes]", terminal: int, typed: str) -> bytes:
    """Type until it ends. A signal that comes between the question and the reading is seen only with the next."""
    for _ in range(10):
        os.write(terminal, typed.encode())
        try:
            return process.communicate(timeout=3)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("it does not end")
