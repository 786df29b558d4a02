"""What a user gets from `pip install outlay`: all of it, generated code and type marks included."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("gen", "service", "terraform-bridge")


def _packages() -> dict[str, Path]:
    """Every top-level package of the source roots by its name."""
    folders = [folder for root in SOURCE_ROOTS for folder in (ROOT / root).iterdir() if folder.is_dir()]
    return {folder.name: folder for folder in folders if folder.name.isidentifier() and folder.name != "__pycache__"}


def _files(package: Path) -> set[str]:
    """What belongs into the wheel, as its paths there."""
    files = (file for file in package.rglob("*") if file.is_file() and file.suffix not in (".pyc", ".pyo"))
    return {str(file.relative_to(package.parent)) for file in files}


def _build(target: str, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with zipfile.ZipFile(_build("wheel", tmp_path_factory.mktemp("wheel"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_every_file_of_every_package(wheel_names: set[str]) -> None:
    """A package that pyproject.toml does not name, or a file that .gitignore hides, would be missing without a word."""
    expected = {name for package in _packages().values() for name in _files(package)}
    assert expected - wheel_names == set()


def test_the_wheel_holds_the_generated_code_and_its_stubs(wheel_names: set[str]) -> None:
    services = {"outlay/v1/budget_service_pb2", "outlay/v1/budget_service_pb2_grpc"}
    assert {f"{service}{suffix}" for service in services for suffix in (".py", ".pyi")} - wheel_names == set()


def test_every_package_in_the_wheel_is_marked_as_typed(wheel_names: set[str]) -> None:
    """PEP 561: without the mark a type checker takes everything imported for Any."""
    assert {name for name in _packages() if f"{name}/py.typed" not in wheel_names} == set()


def test_the_wheel_holds_nothing_but_the_packages(wheel_names: set[str]) -> None:
    """Tests, benchmarks and source roots stay out: each would become a top-level import of every user."""
    tops = {name.partition("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(_packages())


def test_the_wheel_brings_the_schema_of_caps_files(wheel_names: set[str]) -> None:
    """Without it there is neither `outlay schema` nor a server, which serves it."""
    assert "outlay_sync/caps.schema.json" in wheel_names


def test_the_wheel_brings_the_command(wheel_names: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"outlay": "outlay_cli.main:main"}
    assert f"outlay-{project['version']}.dist-info/entry_points.txt" in wheel_names
    assert "outlay_cli/main.py" in wheel_names


def test_the_sdist_holds_the_protos_and_what_the_wheel_is_built_from(tmp_path: Path) -> None:
    with tarfile.open(_build("sdist", tmp_path)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    expected = {
        "LICENSE",
        "proto/outlay/v1/budget_service.proto",
        "gen/outlay/v1/budget_service_pb2.py",
        "service/outlay_server/__init__.py",
        "terraform-bridge/outlay_rest/__init__.py",
    }
    assert expected - names == set()


def test_git_ignores_no_generated_code() -> None:
    """Hatchling obeys .gitignore: an ignored gen/ would build a wheel without it, and no error."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    paths = [f"gen/outlay/v1/{name}" for name in ("budget_pb2.py", "budget_pb2.pyi", "budget_pb2_grpc.py")]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # 1 says that none is ignored; 0 that some are, listed; 128 is git's own failure.
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
