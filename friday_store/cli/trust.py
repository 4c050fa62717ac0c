"""``trust`` and ``identity``: whose models may run code here, and who this user is to others."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from friday_store.cli.command import Command, Group
from friday_store.cli.completing import remote_names, revisions
from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean
from friday_store.cli.versions import changed_one, label, named

if TYPE_CHECKING:
    from friday_store.trust import Ledger, TrustStore

_REPOSITORY: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ANYWHERE: Final = "anywhere"
_KINDS: Final = {"repositories": "repository", "digests": "version", "types": "type"}
_TRUSTED: Final = View(
    fields=("kind", "value", "name", "state", "public"),
    columns=(Column("kind", "KIND"), Column("value", "VALUE"), Column("name", "NAME"), Column("state", "STATE")),
    id="value",
)
_SHOWN: Final = View(
    fields=("kind", "value", "name", "state", "public", "signers", "approvers", "loads", "why"),
    columns=(
        Column("kind", "KIND"),
        Column("value", "VALUE"),
        Column("state", "STATE"),
        Column("loads", "LOADS"),
        Column("why", "WHY NOT"),
    ),
    id="value",
)
_NAMED: Final = "REV|ID|REPOSITORY|REMOTE|KEY"


class _Subject(NamedTuple):
    """What the words of a command line name: ``digests``, ``repositories``, ``types`` or ``keys``, and its value."""

    kind: Any
    value: str
    public: bytes = b""
    name: str = ""


@click.group(
    cls=Group, invoke_without_command=True, examples=["trust", "trust add aapl_1d:1.0.0", "trust add --signer aapl_1d"]
)
@click.pass_context
def trust(ctx: click.Context) -> None:
    """List, add and remove what may run code.

    Formats such as pickle can run code when they are loaded. What you registered loads, because your key signed it;
    what came from elsewhere loads once you trust the key that signed it, the version, or its repository.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(trust_ls)


@trust.command("ls", examples=["trust ls", "trust ls --json"])
@click.pass_obj
def trust_ls(session: Session) -> None:
    """List what you trust."""
    listing(session, _TRUSTED, _listed(_store().ledger()))


@trust.command(
    "add",
    examples=[
        "trust add aapl_1d:1.0.0",
        "trust add 3f1c2a9e-5b7d-4c1e-9a44-0d6b8f7e2c10",
        "trust add --name alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "trust add --signer aapl_1d --name bob",
    ],
)
@click.argument("words", metavar=_NAMED, nargs=-1, required=True, shell_complete=revisions)
@click.option("--signer", is_flag=True, help="The key that signed the version, so all that it signs.")
@click.option("--type", "as_type", is_flag=True, help="A type that formats such as skops may make.")
@click.option("--name", default="", help="What to call the key.")
@click.option("--until", type=click.DateTime(), help="When trust in the key ends.")
@click.pass_obj
def trust_add(
    session: Session, /, *, words: Sequence[str], signer: bool, as_type: bool, name: str, until: dt.datetime | None
) -> None:
    """Trust a key, a version, a type, or all that comes from a repository."""
    found = _signer(session, words) if signer else _subject(session, words, as_type=as_type)
    if found.kind != "keys" and (name or until):
        raise click.UsageError("--name and --until are for keys")
    if found.kind == "keys":
        _store().add_key(found.public, name or found.name, until.replace(tzinfo=dt.UTC) if until else None)
    else:
        _store().add(found.kind, found.value)
    _told(session, found, "trusted")
    _say_what_policies_ask(session, found)


@trust.command("rm", examples=["trust rm aapl_1d:1.1.0", "trust rm aapl_1d:1.1.0 --json"])
@click.argument("words", metavar=_NAMED, nargs=-1, required=True, shell_complete=revisions)
@click.option("--type", "as_type", is_flag=True, help="A type.")
@click.pass_obj
def trust_rm(session: Session, /, *, words: Sequence[str], as_type: bool) -> None:
    """Stop trusting.

    A key that is forgotten can be trusted again later; one that is revoked cannot, until it is forgotten.
    """
    found = _subject(session, words, as_type=as_type)
    store = _store()
    known = store.remove_key(found.public) if found.kind == "keys" else store.remove(found.kind, found.value)
    if not known:
        raise Refusal(f"{' '.join(words)!r} was not trusted by itself", 3, "friday-store trust ls")
    _told(session, found, "no longer trusted")


@trust.command(
    "revoke",
    examples=[
        "trust revoke --signer aapl_1d:1.1.0",
        "trust revoke ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
    ],
)
@click.argument("words", metavar="KEY|REV", nargs=-1, required=True, shell_complete=revisions)
@click.option("--signer", is_flag=True, help="The key that signed the version.")
@click.pass_obj
def trust_revoke(session: Session, /, *, words: Sequence[str], signer: bool) -> None:
    """Never again believe a key.

    What it signed is refused, also from repositories that you trust; versions that you trust by themselves still load.
    """
    found = _signer(session, words) if signer else _key(session, words)
    _store().revoke_key(found.public)
    _told(session, found, "revoked")


@trust.command("show", examples=["trust show", "trust show aapl_1d", "trust show aapl_1d@production --json"])
@click.argument("words", metavar=f"[{_NAMED}]", nargs=-1, shell_complete=revisions)
@click.pass_obj
def trust_show(session: Session, /, *, words: Sequence[str]) -> None:
    """Show who signed a version, and who you are.

    For a version also whether it loads, and why not; for a key what is known of it; for nothing your own key.
    """
    if not words:
        _own(session)
        return
    found = _subject(session, words)
    if found.kind == "digests":
        _version(session, found.value)
        return
    held = [each for each in _listed(_store().ledger()) if each["value"] == found.value]
    record = held[0] if held else {**_record(found), "state": "not trusted"}
    single(session, _SHOWN, {**dict.fromkeys(_SHOWN.fields), **record}, text=_sentence)


@trust.command("require", examples=["trust require anywhere --keys 2", "trust require anywhere --keys 0"])
@click.argument("origin", metavar="REMOTE|REPOSITORY|anywhere", shell_complete=remote_names)
@click.option("--keys", "threshold", type=click.IntRange(0), default=1, show_default=True, help="How many; 0: none.")
@click.option("--only", metavar="KEY", multiple=True, help="A key that counts; otherwise all that you trust.")
@click.pass_obj
def trust_require(session: Session, /, *, origin: str, threshold: int, only: Sequence[str]) -> None:
    """Ask for signatures of trusted keys on all that comes from somewhere.

    The author's signature counts, and those of friday-store approve. Without them a version does not load, whatever its
    format, and its attachments open to no program; show, explain and get still work. What came by bundle is covered by
    a policy for anywhere alone, whichever repository it was exported from.
    """
    from friday_store.trust import ANYWHERE, Policy

    place = ANYWHERE if origin == _ANYWHERE else _repository(session, origin)
    if place is None:
        raise Refusal(f"{origin!r} is neither a remote nor a repository's id", 3, "friday-store remote ls")
    keys = frozenset(_key(session, key.split()).public for key in only)
    _store().set_policy(place, Policy(threshold, keys) if threshold else None)
    asked = {"kind": "policy", "value": place, "name": "", "state": _asked(threshold, len(keys)), "public": None}
    single(session, _TRUSTED, asked, text=_sentence)


@click.command(cls=Command, examples=["approve aapl_1d:1.0.0", "approve aapl_1d@production -m 'backtest looks sound'"])
@click.argument("revision", shell_complete=revisions)
@click.option("-m", "--message", default="", help="Why; others can read it.")
@click.pass_obj
def approve(session: Session, /, *, revision: str, message: str) -> None:
    """Vouch for a version.

    Your key signs that you do. It then loads for everybody who trusts your key, and counts where a policy asks for
    several; push sends it along.
    """
    changed_one(session, session.registry().approve(revision, message), "approved")


@click.group(cls=Group, invoke_without_command=True, examples=["identity", "identity export new-key.json"])
@click.pass_context
def identity(ctx: click.Context) -> None:
    """Show or move your key.

    Your key signs what you register. It is made on first use and kept in your own data folder, in no registry.
    """
    if ctx.invoked_subcommand is None:
        _own(ctx.obj)


@identity.command("export", examples=["identity export new-key.json", "identity export new-key.json --json"])
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def identity_export(session: Session, /, *, path: Path) -> None:
    """Write your secret key to a file, for another machine of yours."""
    from friday_store.registry import location
    from friday_store.storage.files import replace_private

    if path.exists():
        raise Refusal(f"{path} exists", 4, "name another file")
    own = location.identity()
    replace_private(path, own.exported())
    _own(session, f"wrote {path}, which is secret: whoever has it can sign as you")


@identity.command(
    "import", examples=["identity import --replace my-key.json", "identity import my-key.json --replace --json"]
)
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Also where there is another key already; that one stays trusted.")
@click.pass_obj
def identity_import(session: Session, /, *, path: Path, replace: bool) -> None:
    """Become who you are on another machine."""
    from friday_store.registry import location

    with path.open("rb") as file:
        before = location.identity().take(file.read(4096), replace=replace)
    if before is not None:
        _store().add_key(before, "my former key")
    _own(session, "your identity was taken over")


def _own(session: Session, said: str = "") -> None:
    from friday_store import signing
    from friday_store.registry import location

    own = location.identity()
    public = own.key().public
    line = signing.written(public, own.name)
    record = {
        "kind": "key",
        "value": signing.fingerprint(public),
        "name": own.name,
        "state": "your own",
        "public": line,
    }
    lines = [
        *([said] if said else []),
        f"{signing.fingerprint(public)} {own.name}",
        "On another machine, to load what you register here:",
        f"  friday-store trust add {line}",
    ]
    single(
        session,
        _SHOWN,
        {**dict.fromkeys(_SHOWN.fields), **record},
        text=lambda _: "\n".join(clean(each) for each in lines),
    )


def _version(session: Session, model_id: str) -> None:
    from friday_store import signing
    from friday_store.errors import UntrustedArtifactError

    registry = session.registry()
    of, store = registry.provenance(model_id), registry.trust
    safety = registry.plugins.serializer(of.row.serializer).safety
    why = None
    try:
        store.require(of, safety)
    except UntrustedArtifactError as error:
        why = f"{error}; {error.hint}"
    record = {
        "kind": "version",
        "value": model_id,
        "name": label(registry.get_model_metadata(model_id)),
        "state": store.signature_of(of),
        "public": None,
        "signers": [signing.fingerprint(key) for key in sorted(of.author())],
        "approvers": [signing.fingerprint(key) for key in sorted(of.approvers())],
        "loads": why is None,
        "why": why,
    }
    lines = [f"{record['name']} ({model_id[:12]}): {record['state']}"]
    lines += [f"approved with {store.called(key)}" for key in sorted(of.approvers())]
    lines.append(f"it is in the format {of.row.serializer!r} (class {safety}), and loads" if why is None else why)
    single(session, _SHOWN, record, text=lambda _: "\n".join(clean(each) for each in lines))


def _listed(ledger: Ledger) -> Iterator[dict[str, Any]]:
    from friday_store import signing

    now = dt.datetime.now(dt.UTC)
    for public, key in sorted(ledger.keys.items(), key=lambda each: each[1].name):
        state = "revoked" if key.revoked else "ended" if not key.counts(now) else "trusted"
        until = f" until {key.until:%Y-%m-%d}" if key.until and state == "trusted" else ""
        yield {
            "kind": "key",
            "value": signing.fingerprint(public),
            "name": key.name,
            "state": state + until,
            "public": signing.written(public, key.name),
        }
    for kind, word in _KINDS.items():
        for value in sorted(getattr(ledger, kind)):
            yield {"kind": word, "value": value, "name": "", "state": "trusted", "public": None}
    for origin, policy in sorted(ledger.policies.items()):
        state = _asked(policy.threshold, len(policy.keys))
        yield {"kind": "policy", "value": origin, "name": "", "state": state, "public": None}


def _asked(threshold: int, keys: int) -> str:
    of = f"{keys} keys" if keys else "all trusted keys"
    return f"asks for {threshold} of {of}" if threshold else "asks for nothing"


def _subject(session: Session, words: Sequence[str], *, as_type: bool = False) -> _Subject:
    """Return what was named: a type, a repository by id or remote, a key, or a version."""
    text = " ".join(words)
    if as_type:
        return _Subject("types", text)
    if _DIGEST.fullmatch(text):
        return _Subject("digests", text)
    place, key = _repository(session, text), _known_key(words)
    found = ([_Subject("repositories", place)] if place else []) + ([key] if key else [])
    if len(found) > 1:
        raise Refusal(
            f"{text!r} is a remote and a key", 3, f"name the key by its fingerprint: {key.value if key else ''}"
        )
    return found[0] if found else _Subject("digests", named(session.registry(), text).model_id)


def _repository(session: Session, text: str) -> str | None:
    """Return the id of a repository that was named by it, or as a remote."""
    if _REPOSITORY.fullmatch(text):
        return text
    registry = session.registry(new=True)
    return registry.remote_id(text) if text in registry.remotes() else None


def _signer(session: Session, words: Sequence[str]) -> _Subject:
    from friday_store import signing

    of = session.registry().provenance(" ".join(words))
    keys = sorted(of.author())
    if len(keys) != 1:
        raise Refusal(
            f"{' '.join(words)} bears {len(keys)} valid signatures of its author", 3, "friday-store trust show REV"
        )
    return _Subject("keys", signing.fingerprint(keys[0]), keys[0], of.row.author)


def _key(session: Session, words: Sequence[str]) -> _Subject:  # noqa: ARG001 - as _signer
    found = _known_key(words)
    if found is None:
        raise Refusal(f"{' '.join(words)!r} is neither a public key nor the name of one", 3, "friday-store trust ls")
    return found


def _known_key(words: Sequence[str]) -> _Subject | None:
    """Return a key that is written out, or that is known by this name or fingerprint; None if there is none."""
    from friday_store import signing
    from friday_store.errors import InvalidValueError

    text = " ".join(words)
    if text.startswith(("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5")):
        try:
            public, name = signing.parsed(text)
        except InvalidValueError as error:
            raise Refusal(str(error), 2, error.hint) from error
        return _Subject("keys", signing.fingerprint(public), public, name)
    for public, key in _store().ledger().keys.items():
        if text in (key.name, signing.fingerprint(public)) and text:
            return _Subject("keys", signing.fingerprint(public), public, key.name)
    return None


def _record(found: _Subject) -> dict[str, Any]:
    kind = "key" if found.kind == "keys" else _KINDS[found.kind]
    return {"kind": kind, "value": found.value, "name": found.name, "public": None}


def _told(session: Session, found: _Subject, state: str) -> None:
    single(session, _TRUSTED, {**_record(found), "state": state}, text=_sentence)


def _say_what_policies_ask(session: Session, found: _Subject) -> None:
    """Say that a policy still keeps from loading what was trusted just now."""
    from friday_store.errors import FridayStoreError

    store = _store()
    if not store.asked_of():
        return
    if found.kind == "digests":
        try:
            unmet = store.unmet(session.registry().provenance(found.value))
        except FridayStoreError:  # it is not here yet, or there is no registry here
            return
        if unmet is not None:
            session.say("note", f"it still does not load: it {unmet}")
        return
    for place, policy in store.asked_of(found.value if found.kind == "repositories" else None).items():
        where = _ANYWHERE if place == "*" else place
        asked = f"what comes from {where} still needs the signatures of {policy.threshold} trusted keys"
        session.say("note", f"{asked}: friday-store trust require {where} --keys 0 lifts that")


def _sentence(record: Mapping[str, Any]) -> str:
    name = f" ({record['name']})" if record.get("name") else ""
    verb = "" if record["kind"] == "policy" else "is "
    return clean(f"{record['kind']} {record['value']}{name} {verb}{record['state']}")


def _store() -> TrustStore:
    from friday_store.registry import location

    return location.trust(location.identity())
