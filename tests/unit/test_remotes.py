"""Remotes as configuration: layers, values, secrets, names, and what a probe changes."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from friday_store.errors import InvalidNameError, InvalidValueError, ModelNotFoundError, StorageError
from friday_store.remotes import Remote, Remotes, fitting, parsed
from friday_store.remotes.layers import spelled
from friday_store.remotes.options import leaves, merged, put
from friday_store.remotes.refusal import unsafe
from friday_store.remotes.secrecy import HIDDEN, secret, secret_name, shown, shown_urls, with_credentials
from friday_store.storage.probe import Probe

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
CANARY = "hunter2-canary"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository's folder."""
    folder = tmp_path / "work" / ".friday"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the variables that the remotes below see."""
    return {}


@pytest.fixture
def remotes(root: Path, tmp_path: Path, environment: dict[str, str]) -> Remotes:
    """Return the remotes of a repository, a user and an environment, all empty."""
    return Remotes(root, tmp_path / "user" / "config.toml", environment, clock=lambda: NOON)


def test_later_layers_shadow_earlier_ones(remotes: Remotes, environment: dict[str, str]) -> None:
    """Global < repository < local < environment < option, value by value, in tables inside too."""
    remotes.add("team", "s3://one/models", {"client_kwargs": {"a": "global", "region_name": "x"}, "p0": 0}, "global")
    for number, where in enumerate(("repository", "local"), 1):
        values = {"client_kwargs": {"a": where}, **{f"p{n}": n for n in range(number, 5)}}
        remotes.set("team", values, where)  # type: ignore[arg-type]
    environment |= {f"FRIDAY_STORE_REMOTE_TEAM_P{n}": str(n) for n in (3, 4)}
    environment["FRIDAY_STORE_REMOTE_TEAM_CLIENT_KWARGS_A"] = "environment"
    resolved = remotes.resolve("team", {"p4": 4, "client_kwargs": {"a": "option"}})
    assert {"client_kwargs": {"a": "option", "region_name": "x"}, **{f"p{n}": n for n in range(5)}} == resolved.options
    origins = {each.key: each.origin for each in remotes.show("team").options}
    expected = {"p0": "global", "p1": "repository", "p2": "local", "p3": "environment"}
    assert {
        **expected,
        "p4": "environment",
        "client_kwargs.a": "environment",
        "client_kwargs.region_name": "global",
    } == origins
    assert ("team", "s3://one/models") == (resolved.name, resolved.url)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""), ("true", True), ("false", False), ("3", 3), ("-2.5", -2.5), ("1e3", 1000.0), ("eu-west", "eu-west"),
        ('{"a": [1, {"b": true}]}', {"a": [1, {"b": True}]}), ("[1, 2]", [1, 2]), ("null", "null"),
        ("[null]", "[null]"), ('{"a": {"b": null}}', '{"a": {"b": null}}'),
        ("NaN", "NaN"), ("Infinity", "Infinity"), ('"quoted"', '"quoted"'), ("007", "007"), ("a=b", "a=b"),
        ("True", "True"), ("1" * 30, "1" * 30), ("[" * 50_000, "[" * 50_000),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_values_on_the_command_line(text: str, value: Any) -> None:
    """A switch, number, object or list in JSON is that; anything else is the text that it is."""
    assert {"x": {"y": value}} == parsed([f"x.y={text}"])


@pytest.mark.parametrize("text", ["12345", "1e5", "-1"])
def test_a_secret_of_digits_is_text(text: str) -> None:
    """A password is not turned into a number, which would lose its zeros and its form."""
    assert {"password": text, "port": json.loads(text)} == parsed([f"password={text}", f"port={text}"])


@pytest.mark.parametrize("pairs", [["x"], ["=1"], ["a..b=1"], [".a=1"], ["a b=1"], ["ä=1"], [CANARY], ["a=1", "a.b=1"]])
def test_options_that_cannot_be(pairs: list[str]) -> None:
    """What is no key=value, or no key, is refused without repeating what may be a secret."""
    with pytest.raises(InvalidValueError) as refused:
        parsed(pairs)
    assert CANARY not in f"{refused.value} {refused.value.hint}"


@given(
    st.recursive(
        st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=3),
        lambda below: st.dictionaries(st.sampled_from("abcd"), below | st.integers(0, 9), max_size=3),
        max_leaves=12,
    )
)
def test_tables_are_their_leaves(table: dict[str, Any]) -> None:
    """Putting a table's leaves one by one makes the table again; merging with itself or nothing changes nothing."""
    made: dict[str, Any] = {}
    for way, value in leaves(table):
        put(made, way, value)
    assert table == made == merged(table, table) == merged({}, table) == merged(table, {})


def test_variables_belong_to_the_longest_name(remotes: Remotes, environment: dict[str, str]) -> None:
    """A variable that two remotes could claim is the longer name's, so that no secret goes to the wrong place."""
    remotes.add("a", "s3://a")
    remotes.add("a-b", "s3://b")
    environment |= {"FRIDAY_STORE_REMOTE_A_B_KEY": CANARY, "FRIDAY_STORE_REMOTE_A_TOKEN": "mine"}
    environment |= {"FRIDAY_STORE_REMOTE_A_EMPTY": ""}
    assert {"token": "mine"} == remotes.resolve("a").options
    assert {"key": CANARY} == remotes.resolve("a-b").options


def test_variables_name_known_options(remotes: Remotes, environment: dict[str, str]) -> None:
    """A variable means the option that a file spells so; else what stands behind ``_KWARGS_`` is in that table."""
    remotes.add("x", "s3://x", {"deep": {"er-still": 1}})
    environment |= {"FRIDAY_STORE_REMOTE_X_DEEP_ER_STILL": "2", "FRIDAY_STORE_REMOTE_X_CONFIG_KWARGS_PROXIES": "{}"}
    environment |= {"FRIDAY_STORE_REMOTE_X_SINGLE_WRITER": "true", "FRIDAY_STORE_REMOTE_X_ENDPOINT_URL": "http://e"}
    found = remotes.resolve("x")
    assert {"deep": {"er-still": 2}, "config_kwargs": {"proxies": {}}, "endpoint_url": "http://e"} == found.options
    assert found.single_writer
    environment["FRIDAY_STORE_REMOTE_X_PARTIAL"] = "maybe"
    with pytest.raises(InvalidValueError, match="partial is true or false"):
        remotes.resolve("x")


def test_a_url_alone_in_the_environment(remotes: Remotes, environment: dict[str, str]) -> None:
    """A variable can name a remote's place, or another one than a file does."""
    environment["FRIDAY_STORE_REMOTE_CI_URL"] = "memory://ci/123"
    assert ("ci", "memory://ci/123", {}) == _opened(remotes.resolve("ci"))
    remotes.add("team", "s3://team")
    environment["FRIDAY_STORE_REMOTE_TEAM_URL"] = "memory://other"
    assert "memory://other" == remotes.resolve("team").url
    assert "environment" == remotes.show("team").origin


def _opened(remote: Remote) -> tuple[str | None, str, Any]:
    return remote.name, remote.url, dict(remote.options)


def test_a_place_without_a_name(remotes: Remotes, environment: dict[str, str], tmp_path: Path) -> None:
    """A URL gets the options of REGISTRY and what is said; a path gets none; a word that is neither is refused."""
    environment["FRIDAY_STORE_REMOTE_REGISTRY_ENDPOINT_URL"] = "http://e"
    said = {"key": "k", "single_writer": True}
    remote = remotes.resolve("s3://bucket", said)
    assert (None, "s3://bucket", {"endpoint_url": "http://e", "key": "k"}) == _opened(remote)
    assert remote.single_writer
    assert (None, str(tmp_path), {}) == _opened(remotes.resolve(str(tmp_path)))
    for name in ("nothing", "registry", "REGISTRY"):
        with pytest.raises(ModelNotFoundError, match=f"no remote '{name}'"):
            remotes.resolve(name)


def test_indirections_are_looked_up_when_opened(remotes: Remotes, environment: dict[str, str], root: Path) -> None:
    """``env:`` and ``file:`` stand in the file as they are, and for what is there when the remote is resolved."""
    account = {"type": "service_account", "private_key": "x"}
    (root / "secret.txt").write_text("s3cret\n\n")
    (root / "account.json").write_text(json.dumps(account))
    options = {"key": "env:LAB_KEY", "secret": "file:secret.txt", "token": "file:account.json", "list": ["env:LAB_KEY"]}
    remotes.add("lab", "env:LAB_URL", options)
    assert "env:LAB_KEY" == {each.key: each.value for each in remotes.show("lab").options}["key"]
    assert {"lab": "env:LAB_URL"} == remotes.listing()
    environment |= {"LAB_KEY": "1234", "LAB_URL": "s3://lab"}
    expected = {"key": "1234", "secret": "s3cret\n", "token": account, "list": ["1234"]}
    assert ("lab", "s3://lab", expected) == _opened(remotes.resolve("lab"))


@pytest.mark.parametrize(
    ("value", "said"), [("env:NO_SUCH", "NO_SUCH"), ("file:no/such", "no/such"), ("file:.", "cannot be read")]
)
def test_an_indirection_into_nothing(remotes: Remotes, value: str, said: str) -> None:
    """What is missing is named with its option, and the hint says what to do."""
    remotes.add("lab", "s3://lab", {"client_kwargs": {"secret": value}})
    with pytest.raises(InvalidValueError, match=said) as refused:
        remotes.resolve("lab")
    assert "'client_kwargs.secret' of remote 'lab'" in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * ((1 << 20) + 1)], ids=["binary", "huge"])
def test_a_file_that_is_no_secret(remotes: Remotes, root: Path, content: bytes) -> None:
    """A file that is not a short text is refused, without showing what is in it."""
    (root / "file").write_bytes(content)
    remotes.add("lab", "s3://lab", {"secret": "file:file"})
    with pytest.raises(InvalidValueError, match="'secret' of remote 'lab'") as refused:
        remotes.resolve("lab")
    assert len(str(refused.value)) < 300


SECRETS: list[dict[str, Any]] = [
    {"key": CANARY},
    {"secret": CANARY},
    {"token": CANARY},
    {"token": {"client_secret": CANARY}},
    {"password": 12345678901},
    {"account_key": CANARY},
    {"sas_token": CANARY},
    {"connection_string": CANARY},
    {"connectionString": CANARY},
    {"client_secret": CANARY},
    {"service_account_key": {"anything": CANARY}},
    {"client_kwargs": {"aws_access_key_id": CANARY}},
    {"client_kwargs": {"aws_secret_access_key": CANARY}},
    {"client_kwargs": {"aws_session_token": CANARY}},
    {"s3_additional_kwargs": {"SSECustomerKey": CANARY}},
    {"headers": {"Authorization": f"Bearer {CANARY}"}},
    {"list": [{"password": CANARY}]},
    {"endpoint_url": f"https://user:{CANARY}@host/"},
    {"config_kwargs": {"proxies": {"http": f"http://u:{CANARY}@proxy:3128"}}},
    {"link": f"https://host/x?X-Amz-Signature={CANARY}"},
    {"link": f"https://host/x?sp=r&sig={CANARY}"},
]


@pytest.mark.parametrize("where", ["repository", "global"])
@pytest.mark.parametrize("options", SECRETS, ids=str)
def test_secrets_are_refused_in_shared_files(remotes: Remotes, tmp_path: Path, options: Any, where: Any) -> None:
    """What looks secret is refused where others may read it, before anything is written; the hint says --local."""
    remotes.add("other", "s3://other")
    attempts: list[Callable[[], object]] = [
        lambda: remotes.add("lab", "s3://lab", {**options, "region": "eu"}, where),
        lambda: remotes.set("other", {**options, "region": "eu"}, where),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidValueError) as refused:
            attempt()
        told = f"{refused.value} {refused.value.hint} {refused.value.__cause__}"
        assert CANARY not in told
        assert "12345678901" not in told
        words = shlex.split(refused.value.hint or "")
        assert "--local" in words
        assert "region=eu" in words
    assert {"other": "s3://other"} == remotes.listing()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY in path.read_text()]


@pytest.mark.parametrize("options", SECRETS, ids=str)
def test_secrets_are_kept_in_the_local_file(remotes: Remotes, root: Path, options: Any) -> None:
    """With ``local`` they are kept for this user alone, come back when resolved, and are masked when shown."""
    remotes.add("lab", "s3://lab")
    remotes.set("lab", options, "local")
    path = root / "config.local.toml"
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert "config.local.toml" in (root / ".gitignore").read_text().splitlines()
    assert options == remotes.resolve("lab").options
    assert CANARY not in repr(remotes.show("lab"))
    assert "12345678901" not in repr(remotes.show("lab"))
    assert CANARY not in (root / "config.toml").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_url": "https://host:9000/"}, {"anon": True}, {"token": "anon"}, {"token": "google_default"},
        {"token": "/home/me/account.json"}, {"key": True}, {"key": "env:KEY"}, {"secret": "file:../secret"},
        {"client_kwargs": {"region_name": "eu"}}, {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        {"profile": "lab"}, {"project": "x"}, {"token_uri": "https://oauth"}, {"link": "https://host/x?version=3"},
        {"account_name": "lab"}, {"default_block_size": 5}, {"password": ""},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_secret_may_be_shared(remotes: Remotes, options: Any) -> None:
    """Places, regions, switches, and where a secret stands, may be committed."""
    remotes.add("lab", "s3://lab", options)
    assert not secret((), options)
    assert "repository" == remotes.show("lab").options[0].origin


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"s3://AKIA:{CANARY}@bucket/models", "s3://bucket/models"),
        (f"https://user:p@{CANARY}@host/x", "https://host/x"),
        (f"https://{CANARY}@host/x", "https://host/x"),
        (f"https://u:{CANARY}?x@host/x", "https://host/x"),
        (f"https://host/x?sig={CANARY}#y", "https://host/x"),
        (f"https://host/x?X-Goog-Signature={CANARY}", "https://host/x"),
        (f"simplecache::s3://k:{CANARY}@bucket/x", "simplecache::s3://bucket/x"),
    ],
)
def test_urls_with_credentials(remotes: Remotes, root: Path, url: str, place: str) -> None:
    """A user, password or signature in a URL is refused in shared files, kept in the local one, and never shown."""
    assert with_credentials(url)
    assert f"at {place} now" == shown_urls(f"at {url} now")
    with pytest.raises(InvalidValueError, match="password") as refused:
        remotes.add("lab", url)
    assert CANARY not in f"{refused.value} {refused.value.hint}"
    remotes.add("lab", url, where="local")
    assert not (root / "config.toml").exists()
    assert (url, place) == (remotes.resolve("lab").url, remotes.resolve("lab").place)
    assert place == remotes.show("lab").url == remotes.listing()["lab"]


@pytest.mark.parametrize("url", [f"s3://AKIA:{CANARY}/with/slash@bucket/x", f"s3://a:{CANARY}@[/x", "http://[x"])
def test_urls_that_cannot_be(remotes: Remotes, url: str) -> None:
    """What would be taken apart wrongly is refused before any library sees it, and the password is not shown."""
    for attempt in (remotes.resolve, remotes.direct, lambda url: remotes.add("lab", url, where="local")):
        with pytest.raises(InvalidValueError) as refused:
            attempt(url)
        assert CANARY not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"
    assert {} == remotes.listing()


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a@b", "https://host:8080/a@b", "http://[::1]:9000/x", "abfs://container@account/x",
        "sftp://me@host/x", "https://host/x?version=2", "gs://bucket", "../team", "/srv/team@home",
    ],
)  # fmt: skip
def test_urls_without_credentials(remotes: Remotes, url: str) -> None:
    """An ``@`` in a path, a port, a container or a plain query is no secret."""
    assert not with_credentials(url)
    remotes.add("lab", url)
    assert ["lab"] == list(remotes.listing())


@given(st.text(alphabet="abc/:@?#=&%[]1", max_size=30), st.text(alphabet="xyz", min_size=8, max_size=12))
def test_no_password_survives_masking(rest: str, password: str) -> None:
    """Whatever stands round it, a password between ``:`` and ``@`` of a URL is not shown."""
    assert password not in shown_urls(f"s3://user:{password}@host/{rest}")
    assert password not in str(shown(("a",), f"s3://user:{password}@{rest}"))


@pytest.mark.parametrize("value", [CANARY, 5, ["x"], {"deep": ["x", {"er": 1}]}])
def test_what_is_shown_of_secrets(value: Any) -> None:
    """Below a secret name everything is masked, with the form of tables and lists kept."""

    def masked(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: masked(below) for key, below in item.items()}
        return [masked(below) for below in item] if isinstance(item, list) else HIDDEN

    assert masked(value) == shown(("client_secret",), value)
    assert value == shown(("region",), value)


def test_which_file_fits() -> None:
    """Anything secret, in the URL or an option, belongs in the local file; all else may be shared."""
    assert "repository" == fitting("s3://a", {"endpoint_url": "http://e", "key": "env:KEY"}) == fitting(Path("/srv/a"))
    assert (
        "local" == fitting("s3://k:s@a") == fitting("s3://a", {"x": {"secret": "s"}}) == fitting("s3://a", {"key": "s"})
    )


def test_names_of_secrets() -> None:
    """However a library writes it, a secret's name is known; a file's or a place's is none."""
    assert all(map(secret_name, ("AWS_SECRET_ACCESS_KEY", "accountKey", "sas-token", "pwd", "X-Amz-Signature", "sig")))
    assert not any(map(secret_name, ("key_file", "token_uri", "region", "account_name", "keyring_path", "monkey")))


def test_a_remote_keeps_its_secrets() -> None:
    """Its repr shows names alone; pickling and copying are refused; what it cleans has no secret left."""
    remote = Remote(
        "lab", f"s3://u:{CANARY}@b/x?y={CANARY}", {"secret": CANARY, "token": {"refresh_token": "longer" + CANARY}}
    )
    assert "Remote('lab', 's3://b/x', options=['secret', 'token'])" == repr(remote)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled") as refused:
            attempt(remote)
        assert CANARY not in str(refused.value)
    assert CANARY not in remote.clean(f"{CANARY} longer{CANARY} at {remote.url}")


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "-x", "x.lock", "x.", "a/b", "x" * 65, "ä", "registry", "Registry"]
)
def test_impossible_names(remotes: Remotes, name: str) -> None:
    """A name is a plain word, and not that of the options of a registry given by its URL."""
    with pytest.raises(InvalidNameError):
        remotes.add(name, "s3://x")


def test_names_are_taken_once(remotes: Remotes) -> None:
    """A taken name is refused, also one whose variables would be the same; another file may shadow it."""
    remotes.add("my-lab", "s3://one")
    for name in ("my-lab", "my.lab", "MY_LAB"):
        with pytest.raises(InvalidValueError, match="'my-lab' already") as refused:
            remotes.add(name, "s3://two")
        assert "friday-store remote rm my-lab" == refused.value.hint
        assert spelled("my-lab") == spelled(name)
    remotes.add("my-lab", "s3://three", where="global")
    assert {"my-lab": "s3://one"} == remotes.listing()
    remotes.remove("my-lab")
    assert {"my-lab": "s3://three"} == remotes.listing()


def test_paths_move_with_the_repository(remotes: Remotes, root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A path beside the repository is kept relative to it, another absolute, and in the user's file always absolute."""
    monkeypatch.chdir(tmp_path)
    remotes.add("near", "work/team")
    remotes.add("far", "/srv/team")
    remotes.add("mine", "work/team", where="global")
    assert {"near": "../team", "far": "/srv/team", "mine": str(tmp_path / "work" / "team")} == remotes.listing()
    root.parent.rename(tmp_path / "moved")
    moved = Remotes(tmp_path / "moved" / ".friday")
    assert (tmp_path / "moved" / "team").resolve() == Path(moved.resolve("near").url).resolve()
    assert moved.resolve("near").local


def test_set_and_unset(remotes: Remotes, root: Path) -> None:
    """Options are set where the URL stands, taken away where they hold, and comments stay."""
    remotes.add("lab", "s3://lab", {"a": {"b": 1}})
    path = root / "config.toml"
    path.write_text("# mine\n" + path.read_text())
    remotes.set("lab", {"a": {"c": [2]}, "partial": True, "url": "s3://other"})
    remotes.set("lab", {"a": {"b": 3}, "secret": CANARY}, "local")
    found = remotes.resolve("lab")
    assert ("s3://other", {"a": {"b": 3, "c": [2]}, "secret": CANARY}, True) == (
        found.url,
        found.options,
        found.partial,
    )
    remotes.unset("lab", ["a.b", "secret", "partial"])
    assert {"a": {"b": 1, "c": [2]}} == remotes.resolve("lab").options
    assert not remotes.resolve("lab").partial
    remotes.unset("lab", ["a"])
    assert {} == remotes.resolve("lab").options
    assert path.read_text().startswith("# mine\n")
    with pytest.raises(ModelNotFoundError, match="no option 'a'"):
        remotes.unset("lab", ["a"])
    with pytest.raises(InvalidValueError, match="has a URL"):
        remotes.unset("lab", ["url"])


def test_unknown_remotes(remotes: Remotes) -> None:
    """Every verb about a remote that is not there says so, and lists those that are."""
    remotes.add("there", "s3://there")
    attempts: list[Callable[[], object]] = [
        lambda: remotes.show("x"), lambda: remotes.resolve("x"), lambda: remotes.remove("x"),
        lambda: remotes.set("x", {"a": 1}), lambda: remotes.set("x", {"a": 1}, "local"),
        lambda: remotes.unset("x", ["a"]),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(ModelNotFoundError, match=r"no remote 'x' \(there are: there\)"):
            attempt()
    assert {"there": "s3://there"} == remotes.listing()


def test_options_without_a_url(remotes: Remotes, root: Path) -> None:
    """A remote of which a file has options alone is not listed, and opening it says what is missing."""
    (root / "config.local.toml").write_text('[remotes.lab.options]\nsecret = "x"\n')
    assert {} == remotes.listing()
    with pytest.raises(InvalidValueError, match="no URL"):
        remotes.resolve("lab")


def test_removing_forgets_what_was_remembered(remotes: Remotes, root: Path) -> None:
    """With the remote goes what the repository remembers of it, and nothing of a remote whose name begins alike."""
    for name in ("lab", "lab.eu", "lab2"):
        remotes.add(name, f"s3://{name}")
    remotes.set("lab", {"secret": CANARY}, "local")
    folder = root / "remotes"
    for kept in ("lab", "lab.eu"):
        (folder / kept).mkdir(parents=True)
        (folder / kept / "index.db").touch()
    for name in ("lab.json", "lab.eu.json", "lab2.json", "lab.db-wal"):
        (folder / name).touch()
    remotes.remove("lab")
    assert {"lab.eu", "lab2"} == set(remotes.listing())
    assert ["lab.eu", "lab.eu.json", "lab2.json"] == sorted(path.name for path in folder.iterdir())
    assert CANARY not in (root / "config.local.toml").read_text()


def test_removing_follows_no_link(remotes: Remotes, root: Path, tmp_path: Path) -> None:
    """Where ``remotes`` or something in it is a symbolic link, what it points at stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "lab.json").touch()
    (root / "remotes").symlink_to(outside)
    remotes.add("lab", "s3://lab")
    remotes.remove("lab")
    assert (outside / "lab.json").exists()
    (root / "remotes").unlink()
    (root / "remotes").mkdir()
    (root / "remotes" / "lab").symlink_to(outside)
    remotes.add("lab", "s3://lab")
    remotes.remove("lab")
    assert (outside / "lab.json").exists()
    assert [] == list((root / "remotes").iterdir())


def test_the_users_remote_is_not_removed_by_chance(remotes: Remotes) -> None:
    """A remote of the user's own file goes only when that file is named."""
    remotes.add("mine", "s3://mine", where="global")
    with pytest.raises(InvalidValueError, match="user's") as refused:
        remotes.remove("mine")
    assert "friday-store remote rm --global mine" == refused.value.hint
    remotes.remove("mine", "global")
    assert {} == remotes.listing()


def test_a_repository_at_a_url_has_only_the_users_remotes(tmp_path: Path) -> None:
    """Without a folder there is nowhere to keep its own."""
    remotes = Remotes(None, tmp_path / "config.toml")
    with pytest.raises(InvalidValueError, match="local repository"):
        remotes.add("x", "s3://x")
    remotes.add("x", "s3://x", where="global")
    assert "s3://x" == remotes.resolve("x").url
    remotes.set("x", {"region": "eu"})
    remotes.remove("x", "global")
    with pytest.raises(InvalidValueError, match="no folder"):
        Remotes(None).add("x", "s3://x", where="global")
    with pytest.raises(InvalidValueError, match="where is"):
        remotes.add("x", "s3://x", where="nowhere")  # type: ignore[arg-type]


def test_a_probe_is_kept(remotes: Remotes) -> None:
    """What a store can do is found by asking it, kept beside its URL, and forgotten when it becomes another store."""
    remotes.add("lab", "memory://lab-probe/a")
    found = remotes.probe(remotes.resolve("lab"))
    assert found is not None
    assert (True, True, True) == (found.readable, found.writable, found.exclusive)
    kept = remotes.resolve("lab").probe
    assert (True, True, "2026-05-01T12:00:00+00:00") == (kept["exclusive"], kept["writable"], kept["checked"])
    assert [] == remotes.resolve("lab").storage().list("")
    remotes.set("lab", {"single_writer": True})
    assert kept == remotes.show("lab").probe
    assert {} == remotes.resolve("lab", {"endpoint_url": "http://elsewhere"}).probe
    remotes.set("lab", {"url": "memory://lab-probe/b"})
    assert {} == remotes.resolve("lab").probe


def test_a_folder_that_is_not_there_is_not_made(remotes: Remotes, tmp_path: Path) -> None:
    """Asking about a local path makes nothing where nothing is; an existing folder is asked and left clean."""
    remotes.add("team", tmp_path / "work" / "team")
    assert remotes.probe(remotes.resolve("team")) is None
    assert not (tmp_path / "work" / "team").exists()
    (tmp_path / "work" / "team").mkdir()
    found = remotes.probe(remotes.resolve("team"), keep=False)
    assert found is not None
    assert found.exclusive
    assert {} == remotes.resolve("team").probe
    assert [] == list((tmp_path / "work" / "team").iterdir())


def test_writing_needs_a_place_that_tells_writers_apart(remotes: Remotes, root: Path, tmp_path: Path) -> None:
    """An unknown place is asked once before writing; a local one is not asked; the answer is kept."""
    remotes.add("lab", "memory://lab-check/a")
    assert remotes.check_writable(remotes.resolve("lab")) is not None
    assert remotes.check_writable(remotes.resolve("lab")) is None
    remotes.add("team", tmp_path)
    assert remotes.check_writable(remotes.resolve("team")) is None
    (root / "config.toml").unlink()
    remotes.add("web", "http://127.0.0.1:1/models", {"single_writer": True})
    assert remotes.check_writable(remotes.resolve("web")) is None


@pytest.mark.parametrize("name", ["lab", None])
def test_an_unsafe_place_is_refused(name: str | None) -> None:
    """A store where two writers win is refused with the command that vouches; one that tells them apart is not."""
    remote = Remote(name, f"s3://k:{CANARY}@lab", {"secret": CANARY, "a": {"b": 1}})
    with pytest.raises(StorageError, match="two writers") as refused:
        unsafe(remote, Probe(readable=True, writable=True, exclusive=False, clock=None, reason=""))
    expected = "remote set lab single_writer=true" if name else "init --single-writer s3://lab -o secret=... -o a.b=1"
    assert f"friday-store {expected}" == refused.value.hint
    assert 7 == refused.value.exit_code
    unsafe(remote, Probe(readable=True, writable=True, exclusive=True, clock=None, reason=""))


@pytest.mark.parametrize(
    ("readable", "writable", "said"),
    [
        (False, False, "cannot be reached: no"), (True, False, "cannot be written: no"),
        (True, True, "whether remote 'lab' at s3://lab tells two writers apart: no"),
    ],
)  # fmt: skip
def test_a_place_that_does_not_answer(readable: bool, writable: bool, said: str) -> None:
    """What a place cannot do, and why, is told without the remote's secrets."""
    remote = Remote("lab", f"s3://k:{CANARY}@lab", {"secret": CANARY})
    found = Probe(readable=readable, writable=writable, exclusive=None, clock=None, reason=f"no {CANARY}")
    with pytest.raises(StorageError, match=said) as refused:
        unsafe(remote, found)
    assert refused.value.hint
    assert CANARY not in f"{refused.value} {refused.value.hint}"


def test_what_is_not_reached_is_not_kept(remotes: Remotes) -> None:
    """A place that cannot be reached is refused when something is to be written, and nothing is kept about it."""
    options = {"endpoint_url": "http://127.0.0.1:1", "key": CANARY, "secret": CANARY, "attempts": 1, "deadline": 5}
    remotes.add("off", "s3://off", options, "local")
    with pytest.raises(StorageError, match="cannot be reached") as refused:
        remotes.check_writable(remotes.resolve("off"))
    assert CANARY not in f"{refused.value} {refused.value.hint}"
    assert {} == remotes.resolve("off").probe
