"""What trust promises: no code runs here that this user has not made or vouched for."""

from __future__ import annotations

import datetime as dt
import json
import os
import pickle
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import Part, hookimpl, signing
from friday_store.errors import InvalidValueError, UntrustedArtifactError
from friday_store.filesystem import FridayFileSystem
from friday_store.index import VersionRow
from friday_store.manifest import Artifact, Manifest, Note
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.registry import ModelRegistry
from friday_store.repository import Transaction
from friday_store.trust import ANYWHERE, Identity, Ledger, Policy, TrustedKey, TrustStore
from friday_store.trust.ledger import LedgerFile
from friday_store.trust.provenance import approval


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


def signed_by(identity: Identity, url: Path, model: Any = frozenset((1,)), name: str = "m") -> str:
    """Register a model that could run code, signed with a key; return its id."""
    with ModelRegistry(url, plugins=Plugins(()), identity=identity) as registry:
        return registry.register_model(model, name)


def refusal(registry: ModelRegistry, revision: str = "m") -> UntrustedArtifactError:
    """Return the error with which a load is refused."""
    with pytest.raises(UntrustedArtifactError) as caught:
        registry.load_model(revision)
    return caught.value


def public_of(identity: Identity) -> bytes:
    """Return a public key."""
    return identity.key().public


def test_trusting_a_key_lets_all_that_it_signed_load(tmp_path: Path) -> None:
    """One person's key, trusted once, is enough for all of their models, wherever they were registered."""
    alice, bob = Identity(None), Identity(None)
    signed_by(alice, tmp_path / "a", name="one")
    signed_by(alice, tmp_path / "a", name="two")
    signed_by(bob, tmp_path / "a", name="three")
    with opened(tmp_path / "mine") as mine:
        mine.pull(str(tmp_path / "a"))
        said = refusal(mine, "one")
        assert (signing.fingerprint(public_of(alice)),) == said.signers
        assert f"{said.signers[0]}, a key that you do not know" in str(said)
        assert f"trust add --signer {said.model_id[:12]}" in str(said)
        mine.trust.add_key(public_of(alice), "alice")
        assert frozenset((1,)) == mine.load_model("one") == mine.load_model("two")
        refusal(mine, "three")
        assert mine.trust.remove_key(public_of(alice)) is True
        assert mine.trust.remove_key(public_of(alice)) is False
        refusal(mine, "one")


def test_making_a_registry_trusts_nobody_else_in_it(tmp_path: Path) -> None:
    """What others register in a registry that this user made is theirs, and refused."""
    mine = opened(tmp_path / "shared")
    mine.register_model({"a": {1}}, "own")
    signed_by(Identity(None), tmp_path / "shared", name="other")
    assert {"a": {1}} == mine.load_model("own")
    assert "a key that you do not know" in str(refusal(mine, "other"))


def test_a_revoked_key(tmp_path: Path) -> None:
    """What a revoked key signed is refused even from a trusted repository, until that it was revoked is forgotten."""
    alice = Identity(None)
    model_id = signed_by(alice, tmp_path / "a")
    with opened(tmp_path / "mine") as mine:
        mine.pull(str(tmp_path / "a"))
        mine.trust.add_key(public_of(alice), "alice")
        mine.trust.add("repositories", ModelRegistry(tmp_path / "a").repository.id)
        mine.load_model("m")
        mine.trust.revoke_key(public_of(alice))
        assert "(alice, revoked)" in str(refusal(mine))
        with pytest.raises(InvalidValueError, match="was revoked"):
            mine.trust.add_key(public_of(alice), "alice")
        mine.trust.add("digests", model_id)
        mine.load_model("m")
        mine.trust.remove("digests", model_id)
        mine.trust.remove_key(public_of(alice))
        mine.load_model("m")


def test_a_revocation_outlasts_a_trust_add_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another process revokes while this one is about to trust it stays revoked."""
    one, other, public = TrustStore(tmp_path / "trust.json"), TrustStore(tmp_path / "trust.json"), bytes(range(32))
    one.add_key(public, "bob")
    change = LedgerFile.change

    def late(file: LedgerFile, *args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        other.revoke_key(public)
        return change(file, *args, **options)

    monkeypatch.setattr(LedgerFile, "change", late)
    with pytest.raises(InvalidValueError, match="was revoked"):
        one.add_key(public, "bob again")
    key = TrustStore(tmp_path / "trust.json").ledger().keys[public]
    assert ("bob", True) == (key.name, key.revoked is not None)


def test_one_s_own_key_can_be_revoked(tmp_path: Path) -> None:
    """A key of this user's that was stolen counts for nothing once it is revoked."""
    with opened(tmp_path / "mine") as mine:
        mine.register_model({1}, "m")
        mine.trust.revoke_key(public_of(mine.identity))
        refusal(mine)


def test_trust_in_a_key_can_end(tmp_path: Path) -> None:
    """A key is believed until the time that was said, and not from then on."""
    alice, now = Identity(None), dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    signed_by(alice, tmp_path / "a")
    for later, loads in ((dt.timedelta(days=-1), True), (dt.timedelta(0), False), (dt.timedelta(days=1), False)):
        trust = TrustStore(None, clock=lambda later=later: now + later)  # type: ignore[misc]
        trust.add_key(public_of(alice), "alice", now)
        assert loads is trust.allows(ModelRegistry(tmp_path / "a", trust=trust).provenance("m"))
    assert "no longer trusted" in trust.called(public_of(alice))


def test_approval(tmp_path: Path) -> None:
    """Who trusts the key of somebody that approved a version loads it; approvals travel with it."""
    alice, bob = Identity(None), Identity(None)
    signed_by(alice, tmp_path / "a")
    with ModelRegistry(tmp_path / "bob", plugins=Plugins(()), identity=bob) as reviewer:
        reviewer.pull(str(tmp_path / "a"))
        before = reviewer.get_model_metadata("m")["model_id"]
        assert before == reviewer.approve("m", "looks sound")["model_id"]
        reviewer.push(str(tmp_path / "a"))
    with opened(tmp_path / "mine") as mine:
        mine.pull(str(tmp_path / "a"))
        refusal(mine)
        mine.trust.add_key(public_of(bob), "bob")
        mine.load_model("m")
        mine.trust.revoke_key(public_of(bob))
        refusal(mine)
    with opened(tmp_path / "mine") as mine:
        mine.approve("m")
        mine.load_model("m")


def required(mine: ModelRegistry, threshold: int = 1, *keys: Identity) -> None:
    """Ask for signatures on everything."""
    mine.trust.set_policy(ANYWHERE, Policy(threshold, frozenset(map(public_of, keys))))


def test_a_policy_asks_for_signatures(tmp_path: Path) -> None:
    """S16: under a policy nothing is used, not even data, that trusted keys did not sign; nothing replaces them."""
    alice, bob = Identity(None), Identity(None)
    model_id = signed_by(alice, tmp_path / "a", np.arange(3))
    with opened(tmp_path / "mine") as mine:
        mine.pull(str(tmp_path / "a"))
        mine.load_model("m")
        required(mine)
        for subject, value in (("digests", model_id), ("repositories", ModelRegistry(tmp_path / "a").repository.id)):
            mine.trust.add(subject, value)  # type: ignore[arg-type]
            assert "0 of the 1 trusted keys" in str(refusal(mine))
        mine.trust.add_key(public_of(alice))
        mine.load_model("m")
        required(mine, 1, bob)
        refusal(mine)
        required(mine, 2)
        said = refusal(mine)
        assert "1 of the 2 trusted keys" in str(said)
        assert f"friday-store approve {model_id}" == said.hint
        mine.approve("m")
        mine.load_model("m")
        required(mine, 3)
        refusal(mine)
        mine.trust.set_policy(ANYWHERE, None)
        mine.load_model("m")


def test_a_policy_can_be_about_one_repository(tmp_path: Path) -> None:
    """What comes from elsewhere, and what is one's own, does not need what one remote's policy asks for."""
    signed_by(Identity(None), tmp_path / "a", np.arange(3), "theirs")
    with opened(tmp_path / "mine") as mine:
        mine.register_model(np.arange(2), "own")
        mine.add_remote("a", tmp_path / "a")
        mine.pull("a")
        mine.trust.set_policy(mine.remote_id("a"), Policy(1))
        mine.load_model("own")
        refusal(mine, "theirs")


def test_a_policy_covers_what_is_attached(tmp_path: Path) -> None:
    """Under a policy no program reads what is attached to a version, also by ``friday://``; listing it is looking."""
    with ModelRegistry(tmp_path / "a", identity=Identity(None)) as theirs:
        theirs.register_model(np.arange(3), "m", attachments={"card.csv": b"a,b"})
    with opened(tmp_path / "mine") as mine:
        mine.pull(str(tmp_path / "a"))
        files = FridayFileSystem(str(tmp_path / "mine"))
        assert b"a,b" == bytes(mine.read_attachment("m", "card.csv")) == files.cat_file("m/card.csv")
        required(mine)
        for read in (lambda: mine.read_attachment("m", "card.csv"), lambda: files.cat_file("m/card.csv")):
            with pytest.raises(UntrustedArtifactError, match="0 of the 1 trusted keys"):
                read()
        assert {"card.csv": 3} == mine.attachments("m")
        mine.approve("m")
        assert b"a,b" == bytes(mine.read_attachment("m", "card.csv"))


def test_a_bundle_needs_a_policy_for_anywhere(tmp_path: Path) -> None:
    """The policy of the repository that a bundle was exported from does not reach it; one for anywhere does."""
    signed_by(Identity(None), tmp_path / "a", np.arange(3))
    with opened(tmp_path / "a") as theirs, opened(tmp_path / "mine") as mine:
        theirs.export_models(tmp_path / "m.bundle")
        mine.trust.set_policy(theirs.repository.id, Policy(1))
        mine.import_models(tmp_path / "m.bundle")
        mine.load_model("m")
        required(mine)
        refusal(mine)


def rewritten(url: Path, change: Callable[[Manifest], bytes]) -> None:
    """Register the newest version of ``m`` again as 2.0.0, with an envelope that somebody has tampered with."""
    with opened(url) as registry:
        old = registry.repository.manifest(registry.resolve("m"))
        transaction = registry.repository.transaction("tampered")

        def plan(running: Transaction) -> None:
            made = replace(old, version="2.0.0")
            digest = running.put_manifest(made, change(made))
            running.move(Ref("versions", "m", "2.0.0"), None, digest)

        transaction.run(plan)


def resigned(made: Manifest, signatures: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the envelope of a manifest with other signatures."""
    return replace(made, signatures=tuple(signatures)).to_bytes()


MISUSES: dict[str, Callable[[Manifest, Identity], bytes]] = {
    "the signature of another version": lambda made, _: resigned(made, made.signatures),
    "stripped": lambda made, _: resigned(made, ()),
    "of another kind": lambda made, alice: resigned(made, [alice.key().sign(signing.APPROVAL, made.payload())]),
    "without an encoding": lambda made, alice: resigned(made, [{"keyid": public_of(alice), "sig": bytes(64)}]),
    "another's, with her name on it": lambda made, alice: resigned(
        made, [{**Identity(None).key().sign(signing.MANIFEST, made.payload()), "keyid": public_of(alice)}]
    ),
    "a stranger's": lambda made, _: resigned(made, [Identity(None).key().sign(signing.MANIFEST, made.payload())]),
    "by a name only": lambda made, _: replace(made, author="alice", signatures=()).to_bytes(),
    "of the envelope": lambda made, alice: resigned(made, [alice.key().sign(signing.MANIFEST, made.to_bytes())]),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misused_signatures(tmp_path: Path, misuse: str) -> None:
    """S16: a version that bears alice's signature in any wrong way is refused, with and without a policy."""
    alice = Identity(None)
    signed_by(alice, tmp_path / "a")
    rewritten(tmp_path / "a", lambda made: MISUSES[misuse](made, alice))
    with opened(tmp_path / "mine") as mine:
        mine.trust.add_key(public_of(alice), "alice")
        mine.pull(str(tmp_path / "a"))
        mine.load_model("m:1.0.0")
        refusal(mine, "m:2.0.0")
        required(mine)
        mine.load_model("m:1.0.0")
        refusal(mine, "m:2.0.0")


def test_a_rightly_signed_copy_is_her_own(tmp_path: Path) -> None:
    """The same way of writing a version, with the right signature, loads: the cases above fail for the signature."""
    alice = Identity(None)
    signed_by(alice, tmp_path / "a")
    rewritten(tmp_path / "a", lambda made: resigned(made, [alice.key().sign(signing.MANIFEST, made.payload())]))
    with opened(tmp_path / "mine") as mine:
        mine.trust.add_key(public_of(alice), "alice")
        mine.pull(str(tmp_path / "a"))
        mine.load_model("m:2.0.0")


@pytest.mark.parametrize("wrong", ["about another", "of another kind", "copied", "malformed"])
def test_misused_approvals(tmp_path: Path, wrong: str) -> None:
    """S16: an approval that speaks of another version, or is none, counts for nothing."""
    bob = Identity(None)
    first, second = (signed_by(Identity(None), tmp_path / "a", {number}, f"m{number}") for number in range(2))
    with ModelRegistry(tmp_path / "a", plugins=Plugins(()), identity=bob) as store:
        manifest = store.repository.manifest(store.resolve(first))
        payload = approval(bytes.fromhex(first if wrong == "of another kind" else second), manifest, "", 1)
        signature = bob.key().sign(signing.MANIFEST if wrong == "of another kind" else signing.APPROVAL, payload)
        body: Mapping[str, Any] = {"payload": payload, "signatures": [signature]}
        if wrong == "malformed":
            body = {"payload": b"\x80", "signatures": [signature]}
        note = Note(bytes.fromhex(first), "approval", body, "bob", 2)
        if wrong == "copied":
            body = store.repository.notes(store.resolve(store.approve(second)["model_id"]))[0].body
            note = replace(note, body=body)

        def plan(running: Transaction) -> None:
            digest = running.put_note(note)
            running.move(Ref("notes", "m0", "1.0.0", digest.hex()), None, digest)

        store.repository.transaction("approve").run(plan)
    with opened(tmp_path / "mine") as mine:
        mine.trust.add_key(public_of(bob), "bob")
        mine.pull(str(tmp_path / "a"))
        refusal(mine, "m0")


def test_the_same_content_by_two_people(tmp_path: Path) -> None:
    """Registering a version's content again gives its id, whoever does it; copies made elsewhere are a conflict."""
    first = signed_by(Identity(None), tmp_path / "a", {1}, "m")
    with opened(tmp_path / "a") as theirs:
        assert first == theirs.register_model({1}, "m", "1.0.0")
    with opened(tmp_path / "mine") as mine:
        own = mine.register_model({1}, "m", "1.0.0")
        report = mine.pull(str(tmp_path / "a"))
        assert ["versions/m/1.0.0"] == [update.ref for update, _ in report.rejected]
        assert first != own == mine.get_model_metadata("m")["model_id"]


def test_an_unsigned_store_is_trusted_as_before(tmp_path: Path) -> None:
    """What an older release wrote without signatures loads where its repository is trusted, and only there."""
    signed_by(Identity(None), tmp_path / "a")
    rewritten(tmp_path / "a", lambda made: resigned(made, ()))
    with opened(tmp_path / "a") as registry:
        assert "unsigned" in str(refusal(registry, "m:2.0.0"))
        registry.trust.add("repositories", registry.repository.id)
        registry.load_model("m:2.0.0")


class Typed:
    """A format of class ``typed``: JSON whose key says which class of ``collections`` to make."""

    name, format, safety, deterministic, suffix = "named", 1, "typed", True, ".json"

    def accepts(self, model: object) -> bool:
        """Take counters."""
        return isinstance(model, Counter)

    def dump(self, model: Any) -> list[Part]:
        """Write the type's name and the items."""
        return [Part("json", json.dumps([f"collections.{type(model).__name__}", dict(model)]).encode())]

    def types(self, parts: Mapping[str, memoryview]) -> list[str]:
        """Return the type's name."""
        return [json.loads(bytes(parts["json"]))[0]]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the protocol's word
        """Make it."""
        return Counter(json.loads(bytes(parts["json"]))[1])

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Accept anything."""

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        """Return the JSON."""
        return [parts["json"]]

    def from_file(self, data: memoryview) -> list[Part]:
        """Take the JSON."""
        return [Part("json", data)]


class TypedPlugin:
    """Provides the format."""

    @hookimpl
    def register_serializers(self) -> list[Any]:
        """Return it."""
        return [Typed()]


def test_typed_formats_load_by_the_user_s_own_list(tmp_path: Path) -> None:
    """A format that makes listed types alone loads if all of them are on the list here, or if it is trusted as code."""
    plugins = Plugins((), extra={"typed": TypedPlugin()})
    with ModelRegistry(tmp_path / "a", plugins=plugins, identity=Identity(None)) as theirs:
        theirs.register_model(Counter("aab"), "m")
    with ModelRegistry(tmp_path / "mine", plugins=plugins) as mine:
        mine.pull(str(tmp_path / "a"))
        assert "would make objects of collections.Counter" in str(refusal(mine))
        mine.trust.add("types", "collections.OrderedDict")
        refusal(mine)
        mine.trust.add("types", "collections.Counter")
        assert Counter("aab") == mine.load_model("m")
        mine.trust.remove("types", "collections.Counter")
        mine.trust.add("digests", refusal(mine).model_id)
        assert Counter("aab") == mine.load_model("m")


def test_an_index_cannot_lend_a_version_the_trust_of_another(tmp_path: Path, marker: Path) -> None:
    """Trust is asked about the manifest that was read, whichever id an index of somebody else's gives it."""
    with opened(tmp_path / "a") as registry:
        good = registry.register_model({1}, "good")
        signed_by(Identity(None), tmp_path / "a", Evil(marker), "evil")
        refusal(registry, "evil")
        evil = registry.resolve("evil")
        registry.trust.add("digests", good)
        with pytest.raises(UntrustedArtifactError):
            registry.made(*_of(registry, evil._replace(model_id=good)))
    assert not marker.exists()


def _of(registry: ModelRegistry, row: VersionRow) -> tuple[VersionRow, Manifest, Artifact]:
    row, manifest = registry.repository.verified(row)
    return row, manifest, registry.repository.artifact(manifest.artifact)


def test_the_ledger_s_law(tmp_path: Path) -> None:
    """Whatever is trusted is read back the same from the file."""
    path, key, now = tmp_path / "trust.json", public_of(Identity(None)), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    store = TrustStore(path, clock=lambda: now)
    store.add_key(key, "alice", now + dt.timedelta(days=1))
    store.add_key(bytes(32), "bob")
    store.revoke_key(bytes(32))
    store.revoke_key(b"\1" * 32)
    store.add("types", "a.b")
    store.add("own", "id")
    store.set_policy(ANYWHERE, Policy(2, frozenset((key,))))
    found = TrustStore(path).ledger()
    assert store.ledger() == found == Ledger.from_json(json.loads(path.read_text()))
    assert {key: TrustedKey("alice", now + dt.timedelta(days=1))} == {key: found.keys[key]}
    assert (TrustedKey("bob", None, now), TrustedKey("", None, now)) == (found.keys[bytes(32)], found.keys[b"\1" * 32])
    with pytest.raises(InvalidValueError, match="from 1"):
        store.set_policy("x", Policy(0))
    store.set_policy(ANYWHERE, None)
    assert {} == TrustStore(path).ledger().policies


@pytest.mark.parametrize(
    "more",
    [
        {"keys": {"00": {"name": "x"}}}, {"keys": {"0" * 64: {}}}, {"keys": {"0" * 64: {"name": 1}}}, {"keys": []},
        {"keys": {"0" * 64: {"name": "x", "until": "soon"}}}, {"policies": {"*": {"threshold": 0, "keys": []}}},
        {"policies": {"*": {"threshold": "2", "keys": []}}}, {"policies": {"*": {"threshold": 1, "keys": ["x"]}}},
        {"types": [1]}, {"own": [None]},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_with_an_impossible_entry_trusts_nobody(tmp_path: Path, more: dict[str, Any]) -> None:
    """Whatever cannot be in the file makes all of it an error."""
    path = tmp_path / "trust.json"
    path.write_text(json.dumps({"digests": ["a" * 64], "repositories": [], **more}))
    with pytest.raises(InvalidValueError, match="nothing in it is trusted"):
        TrustStore(path).ledger()


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
