"""What an identity promises: one key per user, made once, this user's alone, and easy to take along."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from friday_store import signing
from friday_store.errors import ConflictError, InvalidValueError, StorageError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import Identity


def test_it_is_made_on_first_use(tmp_path: Path) -> None:
    """Asking whether there is one makes none; the first signature does, with modes that are this user's alone."""
    path = tmp_path / "above" / "identity.json"
    assert Identity(path).public() is None
    assert not path.parent.exists()
    before = os.umask(0)
    try:
        made = Identity(path).key()
    finally:
        os.umask(before)
    assert made.public == Identity(path).public() == Identity(path).key().public
    assert [0o600, 0o700] == [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
    assert json.loads(path.read_text())["public"] == signing.written(made.public)


def test_reading_a_registry_makes_no_identity(registry: ModelRegistry, home: Path) -> None:
    """Who only looks needs no key; registering makes it, outside the registry."""
    registry.repository.create()
    registry.list_models()
    assert not (home / "identity.json").exists()
    registry.register_model({"a": 1}, "m")
    assert (home / "identity.json").exists()
    assert not [path for path in Path(registry.url).rglob("*") if path.name == "identity.json"]
    seed = Identity(home / "identity.json").key().seed
    assert not [path for path in Path(registry.url).rglob("*") if path.is_file() and seed in path.read_bytes()]


def test_many_processes_make_one(tmp_path: Path) -> None:
    """Eight processes that need it at the same time get the same key."""
    script = """if True:
        import sys
        from pathlib import Path
        from friday_store.trust import Identity
        print(Identity(Path(sys.argv[1])).key().public.hex())
    """
    command = [sys.executable, "-c", script, str(tmp_path / "home" / "identity.json")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
    assert 1 == len({process.communicate()[0] for process in running})


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"ed25519": "AAAA", "public": "x"}', '{"ed25519": 1, "public": 2}', "\x00"]
)
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    """A file that is no identity is never replaced by a new key without being asked."""
    path = tmp_path / "identity.json"
    path.write_text(text)
    path.chmod(0o600)
    for use in (lambda: Identity(path).key(), lambda: Identity(path).public()):
        with pytest.raises(InvalidValueError, match="no identity, or is damaged"):
            use()
    assert text == path.read_text()


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """A file that is not this user's alone is refused, with the command that mends it."""
    path = tmp_path / "identity.json"
    Identity(path).key()
    path.chmod(0o640)
    with pytest.raises(InvalidValueError, match="can be read by others") as refused:
        Identity(path).key()
    assert refused.value.hint is not None
    assert f"chmod 600 {path}" in refused.value.hint


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in its place is refused."""
    Identity(tmp_path / "elsewhere.json").key()
    (tmp_path / "identity.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(StorageError):
        Identity(tmp_path / "identity.json").key()


def test_a_file_that_names_another_key_is_refused(tmp_path: Path) -> None:
    """The public key in the file must be that of the secret one."""
    path = tmp_path / "identity.json"
    Identity(path).key()
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "public": signing.written(signing.PrivateKey(bytes(32)).public)}))
    with pytest.raises(InvalidValueError, match="names another key"):
        Identity(path).key()


def test_where_it_cannot_be_kept(tmp_path: Path) -> None:
    """Without a place to keep it the key ends with this process, and a warning says so."""
    (tmp_path / "file").touch()
    identity = Identity(tmp_path / "file" / "identity.json")
    with pytest.warns(UserWarning, match="cannot be kept"):
        key = identity.key()
    assert key is identity.key()
    assert key.public == identity.public()


def test_it_can_be_taken_along(tmp_path: Path) -> None:
    """A second machine becomes the same user; a key that is there already is kept unless it is to be replaced."""
    first, second = Identity(tmp_path / "1" / "identity.json"), Identity(tmp_path / "2" / "identity.json")
    assert second.take(first.exported()) is None
    assert first.public() == second.public() == Identity(second.path).public()
    third = Identity(tmp_path / "3" / "identity.json")
    own = third.key().public
    with pytest.raises(ConflictError, match="an identity here already"):
        third.take(first.exported())
    assert own == Identity(third.path).public()
    assert own == third.take(first.exported(), replace=True)
    assert first.public() == third.public() == Identity(third.path).public()
    with pytest.raises(InvalidValueError):
        third.take(b"junk")


def test_a_second_machine_loads_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same identity, or with trust in its public key, all that was registered elsewhere loads."""

    def at(home: str) -> None:
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / home))

    at("desk")
    with ModelRegistry(tmp_path / "desk-store", plugins=Plugins(())) as desk:
        desk.register_model({"a": {1, 2}}, "m")
        secret, public = desk.identity.exported(), desk.identity.public()
    assert public is not None
    at("laptop")
    with ModelRegistry.clone(tmp_path / "desk-store", tmp_path / "laptop", plugins=Plugins(())) as laptop:
        laptop.identity.take(secret)
        assert {"a": {1, 2}} == laptop.load_model("m")
    at("server")
    with ModelRegistry.clone(tmp_path / "desk-store", tmp_path / "server", plugins=Plugins(())) as server:
        server.trust.add_key(public, "me at my desk")
        assert {"a": {1, 2}} == server.load_model("m")
