"""What trust promises: no code runs here that this user has not made or vouched for."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from friday_store.errors import InvalidValueError, UntrustedArtifactError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable


class Evil:
    """A model whose loading leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return the file that appears if a stranger's code runs."""
    return tmp_path / "stranger-was-here"


@pytest.fixture
def as_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes this process another user's: another home."""

    def become(name: str) -> None:
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "homes" / name))

    become("mallory")
    return become


@pytest.fixture
def foreign(tmp_path: Path, as_user: Callable[[str], None], marker: Path) -> str:
    """Return the URL of a registry of somebody else's, with one model of each kind."""
    url = str(tmp_path / "foreign")
    with opened(url) as registry:
        registry.register_model(Evil(marker), "evil")
        registry.register_model(Evil(marker), "evil-joblib", serializer="joblib")
        registry.register_model(np.arange(3), "array")
        registry.register_model({"a": 1}, "rules", serializer="json")
    marker.unlink(missing_ok=True)
    as_user("me")
    return url


def opened(url: str | Path) -> ModelRegistry:
    """Open a registry."""
    return ModelRegistry(url, plugins=Plugins(()))


def test_one_s_own_models_load_without_a_word(tmp_path: Path, marker: Path) -> None:
    """What was registered here, in a registry that this user made, loads at once and from any process."""
    with opened(tmp_path / "mine") as registry:
        registry.register_model(Evil(marker), "m")
        assert not marker.exists()
        registry.load_model("m")
    marker.unlink()
    with opened(tmp_path / "mine") as registry:
        registry.load_model("m")
    assert marker.exists()


@pytest.mark.parametrize("name", ["evil", "evil-joblib"])
def test_a_stranger_s_code_is_refused(foreign: str, marker: Path, name: str) -> None:
    """A format that can run code is refused with nothing unpickled, and the message says whose it is and what to do."""
    with opened(foreign) as registry:
        record = registry.get_model_metadata(name)
        for revision in (name, f"{name}:1.0.0", record["id"]):
            with pytest.raises(UntrustedArtifactError) as caught:
                registry.load_model(revision)
        assert not marker.exists()
        assert (caught.value.model_id, caught.value.origin) == (record["id"], registry.repository.id)
        assert caught.value.hint == f"friday-store trust add {record['id']}"
        for said in (name, record["id"][:12], repr(record["serializer"]), registry.repository.id, record["author"]):
            assert said in str(caught.value)


def test_a_stranger_s_data_loads(foreign: str) -> None:
    """A format that cannot run code asks nobody."""
    with opened(foreign) as registry:
        assert registry.load_model("array").tolist() == [0, 1, 2]
        assert registry.load_model("rules") == {"a": 1}


def test_looking_is_not_loading(foreign: str, marker: Path, tmp_path: Path) -> None:
    """Listing, showing, checking, tagging, copying and deleting a stranger's model run nothing of it."""
    with opened(foreign) as registry:
        registry.list_models(as_frame=True)
        registry.get_model_metadata("evil")
        registry.add_tag("evil", "seen")
        registry.log_metrics("evil", {"a": 1})
        assert registry.fsck() == []
    with opened(tmp_path / "mine") as mine:
        mine.pull(foreign)
        mine.delete_model("evil")
        mine.restore_model("evil")
    assert not marker.exists()


def test_trust_by_digest(foreign: str, marker: Path) -> None:
    """Trusting one version lets that one load, and no other; taking it back is at once."""
    with opened(foreign) as registry:
        model_id = registry.get_model_metadata("evil")["id"]
        registry.trust.add("digests", model_id)
        registry.load_model("evil")
        assert marker.exists()
        with pytest.raises(UntrustedArtifactError):
            registry.load_model("evil-joblib")
        assert registry.trust.remove("digests", model_id) is True
        assert registry.trust.remove("digests", model_id) is False
        with pytest.raises(UntrustedArtifactError):
            registry.load_model("evil")


def test_trust_by_repository(foreign: str, marker: Path) -> None:
    """Trusting where they come from lets all of them load."""
    with opened(foreign) as registry:
        registry.trust.add("repositories", registry.repository.id)
    with opened(foreign) as registry:
        registry.load_model("evil")
        registry.load_model("evil-joblib")
        registry.trust.remove("repositories", registry.repository.id)
        with pytest.raises(UntrustedArtifactError):
            registry.load_model("evil")


def test_pulled_models_are_still_a_stranger_s(foreign: str, tmp_path: Path, marker: Path) -> None:
    """What was pulled keeps where it came from, in one's own registry too, also after it was deleted and restored."""
    with opened(tmp_path / "mine") as mine:
        mine.register_model(Evil(marker), "own")
        mine.pull(foreign)
        mine.delete_model("evil")
        mine.restore_model("evil")
        with pytest.raises(UntrustedArtifactError) as caught:
            mine.load_model("evil")
        assert not marker.exists()
        mine.load_model("own")
        mine.trust.add("repositories", caught.value.origin)
        mine.load_model("evil")


def test_trust_is_not_in_the_repository(tmp_path: Path, as_user: Callable[[str], None], marker: Path) -> None:
    """A copy of a whole registry, taken by somebody else, is a stranger's there."""
    with opened(tmp_path / "mine") as registry:
        registry.register_model(Evil(marker), "m")
        registry.trust.add("digests", registry.get_model_metadata("m")["id"])
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    as_user("another")
    with opened(tmp_path / "copy") as registry, pytest.raises(UntrustedArtifactError):
        registry.load_model("m")
    assert not marker.exists()


def test_a_format_cannot_vouch_for_itself(foreign: str, marker: Path) -> None:
    """A version that claims to be data, and whose artifact is code, is judged by the artifact."""
    with opened(foreign) as registry:
        index = Path(foreign) / "index.db"
        with sqlite3.connect(index) as connection:
            connection.execute("UPDATE model_metadata SET serializer = 'json' WHERE model_name = 'evil'")
        connection.close()
        with pytest.raises(UntrustedArtifactError):
            registry.load_model("evil")
    assert not marker.exists()


def test_bytes_of_a_data_format_are_never_unpickled(tmp_path: Path, marker: Path) -> None:
    """A pickle that is stored as data, even as a trusted user's, comes back as bytes."""
    (tmp_path / "f").write_bytes(pickle.dumps(Evil(marker)))
    with opened(tmp_path / "mine") as registry:
        registry.register_model(tmp_path / "f", "m")
        assert registry.load_model("m") == (tmp_path / "f").read_bytes()
    assert not marker.exists()


def test_the_file(tmp_path: Path) -> None:
    """Trust is a private file outside every repository, in this one form."""
    path = tmp_path / "above" / "trust.json"
    before = os.umask(0)
    try:
        TrustStore(path).add("digests", "b" * 64)
        TrustStore(path).add("digests", "a" * 64)
        TrustStore(path).add("repositories", "r")
    finally:
        os.umask(before)
    assert json.loads(path.read_text()) == {"digests": ["a" * 64, "b" * 64], "repositories": ["r"]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert TrustStore(path).listed() == {"digests": {"a" * 64, "b" * 64}, "repositories": {"r"}}
    assert not list(path.parent.glob(".tmp-*"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"digests": 1, "repositories": []}', "\x00", '{"digests": []}'])
def test_a_damaged_file_trusts_nobody(tmp_path: Path, text: str) -> None:
    """A file that cannot be read is an error, and never a yes."""
    path = tmp_path / "trust.json"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match="nothing in it is trusted"):
        TrustStore(path).listed()
    with pytest.raises(InvalidValueError):
        TrustStore(path).add("digests", "a" * 64)
    assert path.read_text() == text


def test_trust_in_memory() -> None:
    """Without a file trust lasts as long as the object."""
    store = TrustStore(None)
    store.add("digests", "a" * 64)
    assert store.listed()["digests"] == {"a" * 64}
    assert store.remove("digests", "a" * 64) is True
    assert TrustStore(None).listed() == {"digests": set(), "repositories": set()}


def test_trust_that_cannot_be_kept(tmp_path: Path) -> None:
    """Where the file cannot be written trust holds for this process, with a warning."""
    (tmp_path / "file").touch()
    store = TrustStore(tmp_path / "file" / "trust.json")
    with pytest.warns(UserWarning, match="ends with this process"):
        store.add("repositories", "r")


def test_a_transaction_can_say_where_its_versions_come_from(tmp_path: Path, marker: Path) -> None:
    """What is registered with an origin does not load as one's own, but once that origin is trusted."""
    origin = "3f1c2a9e-5b7d-4c1e-9a44-0d6b8f7e2c10"
    with opened(str(tmp_path / "mine")) as registry:
        with registry.transaction("import", origin=origin):
            registry.register_model(Evil(marker), "evil")
        with pytest.raises(UntrustedArtifactError) as caught:
            registry.load_model("evil")
        assert (origin, False) == (caught.value.origin, marker.exists())
        registry.trust.add("repositories", origin)
        registry.load_model("evil")
        assert marker.exists()
