"""What storages promise beyond the kit: modes, links, mapped errors, secrets, and faults on request."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from friday_store.errors import StorageError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.storage import open_storage
from friday_store.storage.local import LocalStorage
from friday_store.testing import Fault, FaultyStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from friday_store.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Return a folder."""
    return LocalStorage(tmp_path / "store")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the process's umask for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of everything below a folder, and its own."""
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_modes_do_not_depend_on_the_umask(tmp_path: Path, home: Path, umask: int) -> None:
    """Folders are 0700; files 0444, or 0600 where they change; and that holds for all a registry leaves behind."""
    url = tmp_path / "above" / "registry"
    with ModelRegistry(url, plugins=Plugins(())) as registry:
        for number in range(20):
            registry.register_model([number] * 100_000, "m")
        registry.load_model("m")
        found = modes(tmp_path / "above") | modes(home)
    for path, mode in found.items():
        fixed = path.endswith((".pack", "friday-store.json")) or "/log/" in path
        assert mode == (0o700 if Path(path).is_dir() else 0o444 if fixed else 0o600), path


@pytest.mark.parametrize("umask", [0o000], indirect=True, ids=oct)
def test_remembering_what_was_verified_is_private(tmp_path: Path, home: Path, umask: int, array_model: Any) -> None:
    """The cache of verified packs is nobody else's to write."""
    with ModelRegistry(tmp_path / "r", plugins=Plugins(())) as registry:
        registry.register_model(array_model, "m")
        pack = next((tmp_path / "r" / "packs").iterdir())
        wait_until_settled(pack)
        registry.load_model("m")
    remembered = list((home / "cache" / "verified").iterdir())
    assert [path.name for path in remembered] == [pack.name.removesuffix(".pack")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in remembered} == {0o600}
    assert stat.S_IMODE((home / "cache" / "verified").stat().st_mode) == 0o700


def wait_until_settled(path: Path) -> None:
    """Wait until a file has been at rest for longer than the cache asks for."""
    while time.time_ns() - path.stat().st_ctime_ns < 200_000_000:
        time.sleep(0.01)


def test_temporary_names_cannot_be_guessed_or_seen(storage: LocalStorage) -> None:
    """A file being written has a random name in its own folder, for this user alone, and is not listed."""
    with storage.spool("packs") as one, storage.spool("packs") as other:
        names = storage.strays()
        assert len({*names}) == 2
        for name in names:
            assert name.startswith("packs/.tmp-")
            assert len(name) == len("packs/.tmp-") + 16
            assert stat.S_IMODE((storage.root / name).stat().st_mode) == 0o600
        assert storage.list("packs") == []
        one.write([b"x"])
        other.write([b"y"])
    assert storage.strays() == []


LINKS = {
    "a folder": ("packs", "folder"),
    "a folder inside": ("log/0000000000", "folder"),
    "a file": ("packs/p", "file"),
    "a file in the root": ("friday-store.json", "file"),
    "a dangling link": ("packs/p", "missing"),
    "a loop": ("packs/p", "packs/p"),
}


@pytest.mark.parametrize("what", LINKS)
def test_planted_links_are_not_followed(tmp_path: Path, storage: LocalStorage, what: str) -> None:
    """A symbolic link below the root is refused by every verb, and what it points at stays as it is."""
    place, target = LINKS[what]
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / "p").write_bytes(b"not ours")
    (outside / "file").write_bytes(b"not ours")
    link = storage.root / place
    link.parent.mkdir(parents=True)
    link.symlink_to(link if what == "a loop" else outside / target)
    path = f"{place}/p" if target == "folder" else place
    with pytest.raises(StorageError):
        storage.read(path)
    if target == "folder":
        for verb in (storage.list, storage.stat):
            with pytest.raises(StorageError) as caught:
                verb(place if verb == storage.list else path)
            assert "symbolic link" in (caught.value.hint or "")
        for create in (lambda: storage.create(path, b"x"), lambda: storage.delete([path])):
            with pytest.raises(StorageError):
                create()
    else:
        assert storage.create(path, b"x") is False
        storage.delete([path])
        assert not link.is_symlink()
    assert (outside / "folder" / "p").read_bytes() == b"not ours"
    assert (outside / "file").read_bytes() == b"not ours"
    assert not (outside / "missing").exists()
    assert {path.name for path in outside.iterdir()} == {"folder", "file"}


def test_a_planted_index_is_replaced(tmp_path: Path, registry: ModelRegistry) -> None:
    """An index that is a link to somewhere else is thrown away, not written through."""
    registry.register_model([1], "m")
    registry.close()
    index, victim = tmp_path / "registry" / "index.db", tmp_path / "victim"
    for content in (None, b"", b"precious"):
        index.unlink()
        victim.unlink(missing_ok=True)
        if content is not None:
            victim.write_bytes(content)
        index.symlink_to(victim)
        with ModelRegistry(tmp_path / "registry", plugins=Plugins(())) as again:
            assert [record["name"] for record in again.list_models()] == ["m"]
        assert (victim.read_bytes() if victim.exists() else None) == content
        assert not index.is_symlink()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_final_name_is_ever_truncated(tmp_path: Path) -> None:
    """Final names are only ever linked: the system is never asked to open one for writing with truncation."""
    script = textwrap.dedent(
        """
        import sys
        from friday_store.plugins import Plugins
        from friday_store.registry import ModelRegistry
        registry = ModelRegistry(sys.argv[1], plugins=Plugins(()))
        for number in range(3):
            registry.register_model([number] * 50_000, "m", tags=["t"])
        registry.delete_model("m", "1.0.0")
        """
    )
    trace, root = tmp_path / "trace", tmp_path / "store"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        str(trace),
        "-e",
        "trace=openat,open,creat,truncate,ftruncate,rename,renameat",
    ]
    done = subprocess.run([*command, sys.executable, "-c", script, str(root)], check=False, capture_output=True)
    if b"ptrace" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert done.returncode == 0, done.stderr.decode()
    lines = trace.read_text(errors="replace").splitlines()
    changed = [line for line in lines if any(f"{root}{part}" in line for part in ("/packs", "/log", "/friday-store"))]
    assert any("O_EXCL" in line for line in changed)
    for line in changed:
        assert "O_TRUNC" not in line
        assert "truncate" not in line.split("(")[0]
        assert "rename" not in line.split("(")[0]
        assert "O_WRONLY" not in line or "/.tmp-" in line or '".tmp-' in line


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, OSError), (errno.EDQUOT, OSError), (errno.EACCES, PermissionError), (errno.EROFS, OSError),
        (errno.EPERM, PermissionError), (errno.EIO, OSError), (errno.EMFILE, OSError),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)  # fmt: skip
def test_the_system_s_errors_are_mapped(storage: LocalStorage, number: int, kind: type[OSError]) -> None:
    """Every refusal of the system is one kind of error that keeps its number, with a hint where one is known."""
    said = os.strerror(number)
    with (
        pytest.raises(StorageError, match=f"cannot write .*packs/p: {said}") as caught,
        storage.mapped_errors("write", "packs/p"),
    ):
        raise OSError(number, said)
    assert caught.value.errno == number
    assert type(caught.value.__cause__) is kind
    assert (caught.value.hint is None) == (number in (errno.EIO, errno.EMFILE))


def test_folders_where_files_are_expected(storage: LocalStorage) -> None:
    """A folder in the place of a file, and the reverse, is an error and not an absence."""
    storage.create("a/b", b"x")
    for verb in (lambda: storage.read("a"), lambda: storage.delete(["a"]), lambda: storage.create("a/b/c", b"")):
        with pytest.raises(StorageError):
            verb()
    with pytest.raises(StorageError):
        storage.list("a/b")
    assert storage.create("a", b"") is False


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may do everything")
def test_a_folder_of_somebody_else_can_be_read(tmp_path: Path) -> None:
    """In a store that this user may not write, reading works and writing is a mapped error."""
    shared = Path("/tmp") / f"friday-{uuid.uuid4()}"
    try:
        LocalStorage(shared).create("packs/p", b"data")
        for path in (shared, shared / "packs"):
            path.chmod(0o755)
        script = (
            "import sys; from pathlib import Path; from friday_store.storage.local import LocalStorage\n"
            "from friday_store.errors import StorageError\n"
            "s = LocalStorage(Path(sys.argv[1])); print(s.read('packs/p'), [e.name for e in s.list('packs')])\n"
            "try: s.create('packs/q', b'x')\nexcept StorageError as error: print(error.errno, error.hint)\n"
        )
        drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*drop, sys.executable, "-c", script, shared], check=False, capture_output=True, text=True
        )
        if drop and done.returncode and "ermission" in done.stderr:
            pytest.skip("another user cannot run this Python")
        assert done.stdout.splitlines()[0] == "b'data' ['p']", done.stderr
        if drop:
            assert done.stdout.splitlines()[1].startswith(f"{errno.EACCES} ")
    finally:
        shutil.rmtree(shared, ignore_errors=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/a/b", "/a/b"), ("file:///a/b", "/a/b"), ("file://localhost/a", "/a"), ("memory://x/y/", "memory://x/y"),
        ("memory://user:pass@x/y?token=t#f", "memory://x/y"),
    ],
)  # fmt: skip
def test_urls(url: str, shown: str) -> None:
    """A storage shows where it is without what is secret."""
    storage = open_storage(url)
    assert shown == storage.url
    assert "pass" not in repr(storage)
    assert "token" not in repr(storage)


@pytest.mark.parametrize("url", ["file://host/a", "nonsense://x", "s3:nonsense://x"])
def test_urls_that_cannot_be_opened(url: str) -> None:
    """An unknown protocol, or a file on another host, is refused when it is opened."""
    with pytest.raises(StorageError):
        open_storage(url)


def test_relative_paths_are_settled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage does not move when the process changes its folder."""
    monkeypatch.chdir(tmp_path)
    storage = open_storage("here")
    storage.create("f", b"x")
    monkeypatch.chdir("/")
    assert storage.read("f") == b"x"
    assert storage.root == tmp_path / "here"


def test_credentials_do_not_travel() -> None:
    """A storage of an object store is not pickled, since its options would come along."""
    with pytest.raises(TypeError, match="credentials"):
        pickle.dumps(open_storage("memory://x", {"skip_instance_cache": True}))


def test_other_protocols_can_only_be_read(tmp_path: Path) -> None:
    """A protocol without a create that cannot overwrite is read, and writing says why not."""
    (tmp_path / "f").write_bytes(b"0123456789")
    storage = open_storage(f"local://{tmp_path}")
    assert storage.read("f") == b"0123456789"
    assert storage.read("f", 2, 5) == b"234"
    assert [entry.name for entry in storage.list("") if not entry.folder] == ["f"]
    with pytest.raises(StorageError, match="without overwriting"):
        storage.create("g", b"x")


def test_waiting_for_a_turn(storage: LocalStorage) -> None:
    """Who holds the turn goes first; who waits goes on as soon as it is given back."""
    storage.create("f", b"")
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with LocalStorage(storage.root).turn():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with storage.turn():
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_faults_are_counted(storage: LocalStorage) -> None:
    """Every call is counted with its path, a spool's too, and giving up is none."""
    faulty = FaultyStorage(storage)
    faulty.create("a/b", b"x")
    faulty.read("a/b")
    with faulty.spool("packs") as spool:
        spool.write([b"xy"])
        assert spool.size == 2
        spool.publish("p")
    with faulty.turn():
        faulty.list("packs")
    faulty.stat("a/b")
    os.close(faulty.open("a/b"))
    faulty.delete(["a/b"])
    assert faulty.calls == [
        "create a/b", "read a/b", "spool packs", "write packs", "publish packs/p", "list packs", "stat a/b", "open a/b",
        "delete a/b",
    ]  # fmt: skip


@pytest.mark.parametrize("moment", ["before", "after", "short"])
@pytest.mark.parametrize("verb", ["create", "publish", "write", "delete"])
def test_faults_take_effect_or_not(
    storage: LocalStorage, verb: str, moment: Literal["before", "after", "short"]
) -> None:
    """A call fails with the system's number, and what it was to do is done only for a fault after it."""
    storage.create("old", b"x")
    faulty = FaultyStorage(storage, Fault(2 if verb == "publish" else 1, errno.ENOSPC, moment, writes=True))

    def spooled() -> None:
        with faulty.spool("") as spool:
            spool.write([b"123456"])
            spool.publish("new")

    actions: dict[str, Callable[[], object]] = {
        "create": lambda: faulty.create("new", b"x"),
        "delete": lambda: faulty.delete(["old"]),
    }
    with pytest.raises(StorageError, match="No space") as caught:
        actions.get(verb, spooled)()
    assert caught.value.errno == errno.ENOSPC
    assert (storage.read("new") is not None) == (moment == "after" and verb in ("create", "publish"))
    assert (storage.read("old") is None) == (moment == "after" and verb == "delete")
    assert storage.strays() == []


def test_faults_once_or_for_ever(storage: LocalStorage) -> None:
    """A fault hits one call, or all from there on; only those that write if asked."""
    faulty = FaultyStorage(storage, Fault(2))
    assert faulty.read("x") is None
    with pytest.raises(StorageError):
        faulty.read("x")
    assert faulty.read("x") is None
    faulty = FaultyStorage(storage, Fault(2, forever=True, writes=True))
    assert faulty.create("a", b"") is True
    for _ in range(3):
        with pytest.raises(StorageError):
            faulty.create("b", b"")
    assert faulty.read("x") is None


def test_a_fault_leaves_no_spool_behind(storage: LocalStorage) -> None:
    """A spool whose opening "failed" after it was made is discarded by the wrapper itself."""
    with pytest.raises(StorageError):
        FaultyStorage(storage, Fault(1, moment="after")).spool("packs")
    assert storage.strays() == []


def test_faults_can_be_anything(storage: LocalStorage) -> None:
    """A callback is called at the moment that was asked for, and the call goes on if it returns."""
    seen: list[bool] = []

    def look() -> None:
        seen.append(storage.read("a") is not None)

    for moment in ("before", "after"):
        storage.delete(["a"])
        assert FaultyStorage(storage, Fault(1, moment=moment, action=look)).create("a", b"x") is True
    assert seen == [False, True]


def test_faults_pass_on_what_there_is(storage: LocalStorage) -> None:
    """``open``, ``folder`` and ``strays`` are there only if the inner storage has them."""
    assert hasattr(FaultyStorage(storage), "strays")
    assert hasattr(FaultyStorage(storage), "folder")
    memory: Storage = FaultyStorage(open_storage("memory://nothing"))
    assert not hasattr(memory, "open")
    assert not hasattr(FaultyStorage(storage), "nonsense")
    assert memory.root is None
