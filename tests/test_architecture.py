"""Who may import whom, where import-linter's contracts in pyproject.toml end; and what lies where."""

import ast
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.installation import BIN, ROOT

ROOMS = ("config", "contests", "notifications", "scheduler")
TOP_LEVEL = (
    *ROOMS,
    "templates",
    "tests",
    "manage.py",
    "pyproject.toml",
    "requirements*.txt",
    "Makefile",
    "README.md",
    "LICENSE",
    ".*",
)


def imports(*places: str) -> Iterator[tuple[str, str]]:
    """Every import below these places, at whatever depth of a function: the file and the module's full name."""
    for file in (file for place in places for file in (ROOT / place).rglob("*.py")):
        path = file.relative_to(ROOT)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = ".".join(path.parts[: -node.level]) if node.level else ""
                module = ".".join(filter(None, (package, node.module)))
                yield from ((str(path), f"{module}.{alias.name}") for alias in node.names)


def of(packages: tuple[str, ...], *places: str) -> set[tuple[str, str]]:
    """The imports below these places that are of one of the packages, or of something in it."""
    return {
        (file, name)
        for file, name in imports(*places)
        if any(f"{name}.".startswith(f"{package}.") for package in packages)
    }


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [Path(name) for name in listed.stdout.split("\0") if name]


def test_the_contracts_of_import_linter_are_kept() -> None:
    finished = subprocess.run([BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout
    assert " 0 broken" in finished.stdout


def test_imports_are_found_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_architecture.ROOT", tmp_path)
    room = tmp_path / "room" / "cupboard"
    room.mkdir(parents=True)
    (room / "box.py").write_text(
        "def f():\n    from django import db\n    from ..door import knob\n    import celery.app"
    )
    found = {("room/cupboard/box.py", name) for name in ("django.db", "room.door.knob", "celery.app")}
    assert set(imports("room")) == found
    assert of(("django.db", "celery", "do"), "room") == {entry for entry in found if "room.door" not in entry[1]}


def test_platforms_are_leaves() -> None:
    assert of(("django", "celery", "kombu", "psycopg", "contests.models"), "contests/platforms") == set()


def test_channels_are_leaves() -> None:
    """Mail goes by Django's own; but no table, no job."""
    forbidden = ("django.db", "django.apps", "django.contrib", "celery", "kombu", "psycopg", "notifications.models")
    assert of(forbidden, "notifications/channels") == set()


def test_notifications_know_of_contests_but_their_models() -> None:
    known = {name for _, name in of(("contests",), "notifications")}
    assert {name for name in known if not name.startswith("contests.models.")} == set()


def test_there_is_one_door_for_outbound_http() -> None:
    clients = ("requests", "urllib.request", "urllib3", "http.client", "httpx", "aiohttp")
    assert {file for file, _ in of(clients, *ROOMS) if not file.startswith("config/http/")} == set()


def test_a_name_says_what_is_in_the_room() -> None:
    says_nothing = {"utils", "util", "services", "helpers", "common", "core", "misc"}
    modules = [path for path in tracked() if path.suffix == ".py"]
    assert {path for path in modules if says_nothing & {path.stem, *path.parts}} == set()


def test_the_top_level_holds_what_a_newcomer_looks_for() -> None:
    names = {path.parts[0] for path in tracked()}
    assert {name for name in names if not any(fnmatch(name, allowed) for allowed in TOP_LEVEL)} == set()


def test_lock_files_hold_versions_and_hashes_and_no_address() -> None:
    """Where packages come from is the machine's business: its settings may name a mirror."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        locked = (ROOT / name).read_text()
        assert "--hash=sha256:" in locked
        assert "://" not in locked
