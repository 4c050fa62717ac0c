"""What the log promises: one winner per number, and a history that nobody changes unnoticed."""

from __future__ import annotations

import datetime as dt
import random
import secrets
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from friday_store import codec
from friday_store import log as log_module
from friday_store.digest import digest_of
from friday_store.errors import ConflictError, IntegrityError
from friday_store.log import EVERY, Log, LogEntry, State, checkpoint_path, entry_path, newest_move
from friday_store.protection import Protection
from friday_store.storage import open_storage
from friday_store.storage.local import LocalStorage
from friday_store.testing import Fault, FaultyStorage

if TYPE_CHECKING:
    from friday_store.digest import Buffer
    from friday_store.storage import Entry, Storage

ROOT = digest_of(b"format")
ONE, TWO = digest_of(b"one"), digest_of(b"two")
START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
PACK = "ab" * 32


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> dt.datetime:
        """Return the time."""
        return self.time


@pytest.fixture
def storage() -> Storage:
    """Return an empty storage."""
    return open_storage(f"memory://{uuid.uuid4()}/log")


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def log(storage: Storage, clock: Clock) -> Log:
    """Return an empty log."""
    return Log(storage, ROOT, clock)


def written(log: Log, count: int, state: State | None = None) -> State:
    """Append entries that move one ref to and fro, and return the state."""
    state = log.state(0) if state is None else state
    for _ in range(count):
        old = state.refs.get("aliases/m/a", (None,))[0]
        move = ("aliases/m/a", old, TWO if old == ONE else ONE)
        entry = log.following(state, actor="ann", message=f"move {state.seq + 1}", refs=(move,))
        digest = log.append(entry)
        assert digest is not None
        state.apply(entry, digest)
    return state


def overwrite(storage: Storage, path: str, data: bytes) -> None:
    """Replace a file, as damage or somebody else would."""
    storage.delete([path])
    assert storage.create(path, data)


def sealed(fields: dict[str, Any]) -> bytes:
    """Return a file of some fields with a checksum that fits."""
    body = codec.encode(fields)
    return body + digest_of(body)


def test_entry_round_trip(log: Log) -> None:
    """An entry comes back from its bytes with every field, and unknown ones are kept."""
    entry = log.following(
        log.state(0), actor="ann", message="m", packs_added=((PACK, 5),), packs_removed=("cd" * 32,),
        refs=(("aliases/m/a", None, ONE), ("aliases/m/b", TWO, None)), origin="there",
    )  # fmt: skip
    entry = replace(entry, extra={"later": [1, None]})
    assert entry == LogEntry.from_bytes(entry.to_bytes())
    assert entry.to_bytes() == LogEntry.from_bytes(entry.to_bytes()).to_bytes()


def test_the_file_of_an_entry(log: Log, storage: Storage) -> None:
    """An entry is its canonical bytes and their BLAKE3, a thousand to a folder."""
    written(log, 2)
    data = storage.read("log/0000000000/002")
    assert data is not None
    assert data[-32:] == digest_of(data[:-32])
    fields = codec.decode(data[:-32], "entry")
    first = storage.read("log/0000000000/001")
    assert first is not None
    assert fields["prev"] == digest_of(first[:-32])
    assert fields["refs"] == [["aliases/m/a", ONE, TWO]]
    assert entry_path(12345) == "log/0000000012/345"
    assert checkpoint_path(12288) == "checkpoints/00000000000000012288"


def test_the_first_entry_follows_the_format_file(log: Log) -> None:
    """History reaches back to ``friday-store.json``."""
    written(log, 1)
    found = log.read(1)
    assert found is not None
    assert found[0].prev == ROOT
    with pytest.raises(IntegrityError, match="follow"):
        list(log.after(0, digest_of(b"another format")))


def test_time_only_goes_forward(log: Log, clock: Clock) -> None:
    """Entries are later than the one before by a microsecond or more, whatever the clock says."""
    state = written(log, 2)
    clock.time = START - dt.timedelta(days=3)
    state = written(log, 2, state)
    times = [entry.time for entry in reversed(list(log.backwards(4)))]
    first = round(START.timestamp() * 1_000_000)
    assert times == [first, first + 1, first + 2, first + 3]
    assert state.time == first + 3


def test_one_number_has_one_winner(log: Log) -> None:
    """Of two entries with one number the second is told that it lost."""
    state = log.state(0)
    first, second = (log.following(state, actor=name, message="") for name in ("ann", "bob"))
    assert log.append(first) is not None
    assert log.append(second) is None
    found = log.read(1)
    assert found is not None
    assert found[0] == first


def test_a_lost_reply_is_no_lost_race(storage: Storage, clock: Clock) -> None:
    """Who is told "it exists" and finds its own id there has won: only the reply had been lost."""

    class Deaf:
        """A storage that writes and then says that it did not."""

        def __getattr__(self, name: str) -> Any:
            return getattr(storage, name)

        def create(self, path: str, data: Buffer | list[Buffer]) -> bool:
            storage.create(path, data)
            return storage.create(path, data)

    log = Log(Deaf(), ROOT, clock)  # type: ignore[arg-type]
    entry = log.following(log.state(0), actor="ann", message="")
    assert log.append(entry) == entry.digest
    assert log.append(replace(entry, id=secrets.token_bytes(16))) is None


def test_a_move_from_elsewhere_is_refused(log: Log) -> None:
    """A state takes only entries that follow it, and moves from where its refs are."""
    state = written(log, 1)
    entry = log.following(state, actor="", message="", refs=(("aliases/m/a", TWO, ONE),))
    with pytest.raises(IntegrityError, match="from where it was not"):
        state.apply(entry, entry.digest)
    with pytest.raises(IntegrityError, match="does not follow"):
        state.apply(replace(entry, seq=5), entry.digest)
    with pytest.raises(IntegrityError, match="does not follow"):
        state.apply(replace(entry, prev=ONE), entry.digest)


def test_births_are_unique_and_in_order(log: Log) -> None:
    """Each ref and pack has a birth that says when it came, the same in every replay."""
    moves = tuple((f"aliases/m/a{number}", None, ONE) for number in range(3))
    entry = log.following(log.state(0), actor="", message="", refs=moves, packs_added=((PACK, 1), ("cd" * 32, 2)))
    assert [birth for birth, _ in entry.births()] == [1 << 24, (1 << 24) + 1, (1 << 24) + 2]
    assert [birth for _, _, birth in entry.packs_born()] == [1 << 24, (1 << 24) + 1]


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 100, -1])
def test_a_truncated_entry_is_damage(log: Log, storage: Storage, size: int) -> None:
    """An entry that was cut short is reported with its path, by everything that reads it."""
    written(log, 3)
    data = storage.read(entry_path(2))
    assert data is not None
    overwrite(storage, entry_path(2), data[:size])
    for read in (lambda: log.read(2), log.state, lambda: list(log.backwards(3)), lambda: log.at(START)):
        with pytest.raises(IntegrityError) as caught:
            read()
        assert caught.value.path == entry_path(2)


def test_every_flipped_bit_of_an_entry_is_damage(log: Log, storage: Storage) -> None:
    """No bit of an entry can change."""
    written(log, 2)
    data = storage.read(entry_path(1))
    assert data is not None
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        overwrite(storage, entry_path(1), bytes(flipped))
        with pytest.raises(IntegrityError):
            log.read(1)


def test_a_rewritten_history_is_noticed(log: Log, storage: Storage) -> None:
    """An entry that was replaced with a sound one breaks the chain of those after it."""
    written(log, 3)
    found = log.read(2)
    assert found is not None
    forged = replace(found[0], actor="mallory").to_bytes()
    overwrite(storage, entry_path(2), forged + digest_of(forged))
    with pytest.raises(IntegrityError, match="history was changed") as caught:
        log.state()
    assert caught.value.path == entry_path(3)


def test_a_missing_entry_is_noticed(log: Log, storage: Storage) -> None:
    """A gap is damage, and not the end of the log."""
    written(log, 3)
    storage.delete([entry_path(2)])
    assert log.last() == 3
    for read in (log.state, lambda: list(log.backwards(3)), lambda: log.at(START)):
        with pytest.raises(IntegrityError) as caught:
            read()
        assert caught.value.path == entry_path(2)


def test_an_entry_that_comes_while_the_state_is_read_is_no_gap(log: Log, storage: Storage, clock: Clock) -> None:
    """Between finding no next entry and looking for the newest, others may write: the state then has theirs too."""
    written(log, 2)

    class Busy:
        """A storage on which somebody else writes just before each of the first listings of the log."""

        writes = 3

        def __getattr__(self, name: str) -> Any:
            return getattr(storage, name)

        def list(self, folder: str) -> list[Entry]:
            if folder == "log" and self.writes:
                self.writes -= 1
                written(log, 2, log.state())
            return storage.list(folder)

    assert Log(Busy(), ROOT, clock).state().to_bytes() == log.state().to_bytes()
    assert log.last() == 8


def test_an_entry_in_the_wrong_place_is_noticed(log: Log, storage: Storage) -> None:
    """A sound entry under another number is refused."""
    written(log, 2)
    data = storage.read(entry_path(2))
    assert data is not None
    assert storage.create(entry_path(3), data)
    with pytest.raises(IntegrityError, match="says that it is entry 2"):
        log.read(3)


@pytest.mark.parametrize(
    "fields",
    [
        {"seq": "1"}, {"prev": 5}, {"time": 1.5}, {"actor": b"x"}, {"refs": [["a"]]}, {"refs": 5}, {"origin": None},
        {"refs": [["a", b"short", None]]}, {"packs_added": [["AB" * 32, 1]]}, {"packs_added": [["zz", 1]]},
        {"packs_added": [[PACK, "1"]]}, {"packs_removed": [5]}, {"packs_removed": ["../../etc/passwd"]}, {"schema": 2},
        {"id": ...}, {"kind": "checkpoint"},
    ],
    ids=repr,
)  # fmt: skip
def test_entries_that_cannot_be(log: Log, storage: Storage, fields: dict[str, Any]) -> None:
    """A field that is missing or malformed is damage, also under a checksum that fits."""
    written(log, 1)
    data = storage.read(entry_path(1))
    assert data is not None
    raw = codec.decode(data[:-32], "entry") | fields
    overwrite(storage, entry_path(1), sealed({name: value for name, value in raw.items() if value is not ...}))
    with pytest.raises(IntegrityError):
        log.read(1)


def test_states_of_the_past(log: Log) -> None:
    """The state after any entry can be asked for, and one that is not there is an error."""
    written(log, 3)
    assert log.state(0).refs == {}
    assert [log.state(seq).refs["aliases/m/a"][0] for seq in (1, 2, 3)] == [ONE, TWO, ONE]
    assert log.state().seq == 3
    with pytest.raises(ConflictError):
        log.state(4)


def test_the_newest_entry_at_a_time(log: Log, clock: Clock) -> None:
    """A time means the newest entry at or before it."""
    state = log.state(0)
    for day in range(5):
        clock.time = START + dt.timedelta(days=day)
        state = written(log, 1, state)
    assert log.at(START - dt.timedelta(microseconds=1)) == 0
    assert log.at(START) == 1
    assert log.at(START + dt.timedelta(days=2)) == 3
    assert log.at(START + dt.timedelta(days=3, hours=-1)) == 3
    assert log.at(START + dt.timedelta(days=99)) == 5


def test_finding_the_end(log: Log, storage: Storage) -> None:
    """The newest entry is found by looking, across folders, whatever else lies there."""
    assert log.last() == 0
    for seq in (1, 999, 1000, 1001, 12345):
        storage.create(entry_path(seq), b"")
    for junk in ("log/readme", "log/0000000012/x", "log/0000000013/y", "log/zz/1"):
        storage.create(junk, b"")
    assert log.last() == 12345


def test_finding_a_move(log: Log) -> None:
    """The newest entry that moved a ref is found, with the move."""
    written(log, 3)
    found = newest_move(log.backwards(3), "aliases/m/a")
    assert found is not None
    assert (found[0].seq, found[1]) == (3, ("aliases/m/a", TWO, ONE))
    assert newest_move(log.backwards(3), "aliases/m/b") is None


def test_checkpoints_say_what_the_log_says(log: Log, storage: Storage) -> None:
    """A checkpoint equals the replayed state, is the same whoever writes it, and saves reading what came before."""
    written(log, 5)
    replayed = log.state(4)
    log.checkpoint(4)
    first = storage.read(checkpoint_path(4))
    storage.delete([checkpoint_path(4)])
    log.checkpoint(4)
    assert first == storage.read(checkpoint_path(4))
    assert log.checkpoints() == [4]
    assert replayed == log.read_checkpoint(4)
    assert list(replayed.packs) == list(log.read_checkpoint(4).packs)
    storage.delete([entry_path(1), entry_path(2)])
    assert log.state().refs["aliases/m/a"][0] == ONE
    log.checkpoint(4)
    assert EVERY == 256


@pytest.mark.parametrize("place", [0, 10, -40, -1])
def test_a_damaged_checkpoint_is_passed_over(log: Log, storage: Storage, place: int) -> None:
    """The log says the same, so a damaged checkpoint costs time and nothing else; reading it is an error."""
    written(log, 5)
    log.checkpoint(4)
    data = bytearray(storage.read(checkpoint_path(4)) or b"")
    data[place] ^= 1
    overwrite(storage, checkpoint_path(4), bytes(data))
    with pytest.raises(IntegrityError) as caught:
        log.read_checkpoint(4)
    assert caught.value.path == checkpoint_path(4)
    assert log.state().seq == 5


@pytest.mark.parametrize(
    "body",
    [
        b"no frame",
        b"",
        zstandard.ZstdCompressor().compress(b"no map"),
        zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100),
        b"\x28\xb5\x2f\xfd\xe0" + (1 << 50).to_bytes(8, "little") + b"\x01\x00\x00",
        b"\x28\xb5\x2f\xfd\xe0" + (1 << 31).to_bytes(8, "little") + b"\x01\x00\x00",
    ],
)
def test_checkpoints_that_cannot_be(log: Log, storage: Storage, body: bytes) -> None:
    """What is no frame, states no size or an absurd one is refused before memory is taken for it."""
    storage.create(checkpoint_path(4), body + digest_of(body))
    with pytest.raises(IntegrityError):
        log.read_checkpoint(4)


def test_a_checkpoint_of_another_number_is_refused(log: Log, storage: Storage) -> None:
    """A sound checkpoint under another number is damage."""
    written(log, 4)
    log.checkpoint(2)
    storage.create(checkpoint_path(3), storage.read(checkpoint_path(2)) or b"")
    with pytest.raises(IntegrityError, match="says that it is 2"):
        log.read_checkpoint(3)


def test_an_error_after_the_entry_took_effect_is_no_failure(tmp_path: Path) -> None:
    """When the store reports an error and the entry is there, the transaction has succeeded, once."""
    storage = FaultyStorage(LocalStorage(tmp_path), Fault(at=1, moment="after", writes=True))
    log = Log(storage, bytes(32), lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    entry = log.following(log.state(0), actor="a", message="m")
    assert log.append(entry) == entry.digest
    assert [entry.seq] == [found.seq for found, _ in log.after(0, bytes(32))]


def filled(log: Log, source: random.Random, count: int) -> None:
    """Append entries that make, move and remove refs, and add and merge packs, at random."""
    state = log.state()
    for _ in range(count):
        names = source.sample([f"tags/m/t{number}/1.0.0" for number in range(12)], source.randrange(4))
        moves = [(name, state.refs[name][0] if name in state.refs else None) for name in sorted(names)]
        news = [source.choice([None, ONE, TWO]) if old else source.choice([ONE, TWO]) for _, old in moves]
        entry = log.following(
            state, actor="ann", message="", packs_added=((source.randbytes(32).hex(), source.randrange(9)),),
            packs_removed=tuple(sorted(state.packs)) if len(state.packs) > 5 else (),
            refs=tuple((name, old, new) for (name, old), new in zip(moves, news, strict=True) if old != new),
            protection=source.choice([None, None, Protection(), Protection(append_only=True)]),
        )  # fmt: skip
        digest = log.append(entry)
        assert digest is not None
        state.apply(entry, digest)
        if state.seq % log_module.EVERY == 0:
            log.checkpoint(state.seq)


@pytest.mark.parametrize("seed", range(8))
def test_checkpoints_add_up(storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever happened and whichever checkpoints are there, every state is that of the entries replayed."""
    monkeypatch.setattr(log_module, "EVERY", 2)
    monkeypatch.setattr(log_module, "_WIDER", 3)
    monkeypatch.setattr(log_module, "_HEAVIEST", 1 << 19 if seed % 2 else 9)
    source = random.Random(seed)
    log = Log(storage, ROOT, clock)
    filled(log, source, 60)
    for number in source.sample(log.checkpoints(), 5):
        storage.delete([checkpoint_path(number)])
    replayed = log.state(0)
    for entry, digest in log.after(0, ROOT):
        replayed.apply(entry, digest)
        found = log.state(replayed.seq)
        assert replayed == found
        assert list(replayed.packs) == list(found.packs)
        if replayed.seq in log.checkpoints():
            piece = log.read_checkpoint(replayed.seq)
            assert piece == State.from_bytes(piece.to_bytes())
            assert piece == log.span(piece.after, piece.seq)


def test_how_far_back_a_checkpoint_goes(storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sums up what the narrower ones before it say, so few files lead to any state, and each is small."""
    monkeypatch.setattr(log_module, "EVERY", 2)
    monkeypatch.setattr(log_module, "_WIDER", 3)
    log = Log(storage, ROOT, clock)
    filled(log, random.Random(1), 56)
    told = {number: log.read_checkpoint(number).after for number in log.checkpoints()}
    assert {2: 0, 4: 2, 6: 0, 8: 6, 12: 6, 18: 0, 24: 18, 36: 18, 54: 0, 56: 54}.items() <= told.items()
    assert [18, 36, 42, 48, 50, 52] == [piece.seq for piece in log._pieces(0, 52)][::-1]


def test_what_is_heavy_is_not_summed_up(storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few entries say much, no checkpoint says it again; a wide one gives way to a narrow one."""
    monkeypatch.setattr(log_module, "EVERY", 2)
    monkeypatch.setattr(log_module, "_HEAVIEST", 10)
    log = Log(storage, ROOT, clock)
    state = log.state(0)
    for sizes in ((4, 3), (12, 1), (3, 3)):
        for size in sizes:
            moves = tuple((f"aliases/m/a{state.seq}-{place}", None, ONE) for place in range(size))
            entry = log.following(state, actor="ann", message="", refs=moves)
            state.apply(entry, log.append(entry) or b"")
        log.checkpoint(state.seq)
    assert [2, 6] == log.checkpoints()
    assert 4 == log.read_checkpoint(6).after
    assert state == log.state()


def test_a_checkpoint_that_lies_is_passed_over(log: Log, storage: Storage) -> None:
    """One that is told from another history than the log's leads nowhere: the log itself is read."""
    state = written(log, EVERY + 1)
    log.checkpoint(EVERY)
    liar = State(EVERY + 1, state.entry, 5, {"aliases/m/b": (ONE, 5, "")}, after=EVERY, base=digest_of(b"other"))
    packed = zstandard.ZstdCompressor().compress(liar.to_bytes())
    storage.create(checkpoint_path(EVERY + 1), packed + digest_of(packed))
    assert state == log.state()
    for change in ({"after": 0}, {"after": EVERY + 2}, {"base": None}, {"gone": [5]}, {"removed": ["x"]}):
        raw = codec.decode(liar.to_bytes(), "checkpoint") | change
        with pytest.raises(IntegrityError):
            State.from_bytes(codec.encode(raw))
