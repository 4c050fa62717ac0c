"""What ``friday-store help TOPIC`` says."""

from __future__ import annotations

from typing import Final

EXIT_CODES: Final = {
    0: "all went well",
    1: "another error, a failed check of doctor, a difference with diff --exit-code, no common ancestor",
    2: "usage: an option, a name or a value that cannot be",
    3: "a model, version, alias, tag, remote or file that is not there, or that is ambiguous",
    4: "conflict: a version or file is there, a name was moved by others, is protected, or an alias points at it",
    5: "integrity: stored bytes are damaged, or fsck found damage",
    6: "refused: loading would run code that you do not trust",
    7: "the store cannot be read or written; a retry may help",
    8: "there is no registry, or one of a newer format",
    10: "a plugin is missing or failed",
    11: "a plugin refused the change",
    12: "partial success: some refs were moved, others were left alone",
    130: "interrupted",
    141: "the reader of the output went away",
}
ENVIRONMENT: Final = {
    "FRIDAY_STORE_URL": "the registry, when --registry is not given",
    "FRIDAY_STORE_HOME": "this user's folder for config.toml, trust, caches and the default registry",
    "FRIDAY_STORE_INDEX": "where the index is, such as postgresql://HOST/DATABASE; stronger than index use",
    "FRIDAY_STORE_ACTOR": "who writes, in the log and in versions; else user@host",
    "FRIDAY_STORE_PLUGINS": "the plugins to load, such as a,b; none for none; else all",
    "FRIDAY_STORE_REMOTE_<NAME>_<OPTION>": "an option of a remote, such as KEY; REGISTRY is what a URL itself needs",
    "FRIDAY_STORE_DEBUG": "1 shows tracebacks, as --debug does",
    "FRIDAY_STORE_PAGER": "what shows long output on a terminal, else PAGER, else less; empty or cat: nothing does",
    "LESS": "options of less; FRX if it is not set",
    "NO_COLOR": "not empty: no colour; stronger than FORCE_COLOR, weaker than --color",
    "FORCE_COLOR": "not empty and not 0: colour also where there is no terminal; so does CLICOLOR_FORCE",
    "TERM": "dumb: no colour",
}
_REVISIONS: Final = """\
A revision names a version:

  NAME               the highest version; a pre-release only if there is nothing else
  NAME:1.4.0         that version
  NAME:^1.4          the highest from 1.4 and below 2; NAME:>=1,<2 likewise
  NAME@production    what the alias points at, else the newest version with that tag
  NAME@latest        the version registered last; NAME@greatest the highest of all, pre-releases too
  3f1c2a9e           a digest, or at least 8 of its first characters

After any of these:

  ~2                 its second ancestor; ~ is the first
  @{2026-05-01}      as of that time, in UTC unless it says otherwise

Before any of these but a digest:

  origin/            as the remote origin was when it was last looked at; friday-store fetch looks

A text with more than one meaning is refused, and the message lists them."""

_SEARCH: Final = """\
search EXPR and --where EXPR choose versions by a condition:

  metrics.rmse < 0.5 and tag = 'AAPL' and created > '2026-01-01'
  status in ('staging', 'production') or alias = 'champion'
  params.alpha between 0.1 and 1 and not name like 'test%'
  metadata.run."learning rate" is not null and pipeline_steps[0].name = 'scaler'
  descends from 'aapl_1d:1.0.0' and version >= '2.0.0'

Fields:

  text               name, type, status, author, description, serializer, id, artifact, origin
  version            by semantic precedence with < <= > >= and between
  size               bytes
  created, updated   times such as '2026-01-31' or '2026-01-31T12:00', in UTC unless they say otherwise
  tag, alias, parent many for each version: one must meet the comparison, so tag != 'x' asks for no such tag
  metrics.NAME       as observed last
  params.NAME        and any path into metadata, training_data, feature_importance, pipeline_steps, dependencies,
                     environment, evaluation, input_schema; other keys stand in "double quotes", places in [0]

Comparisons: = != < <= > >=, in (A, B), between A and B, like 'a%' (_ is one character, \\% a plain one), glob 'a*',
is null; not before in, like, glob, between and null, or before a whole condition; and, or, brackets.

A comparison with what is not there is false; its opposite, with != or not, is then true."""
_SYNC: Final = """\
Every registry is whole, and any two can be brought together. What a push or pull does with each ref:

  versions           are added; the same version with other content is left alone, always
  tags, notes        what either side added is added; what one side took away goes
  aliases            follow the side that moved them since both were in step

An alias that both sides moved is left alone, with code 4, or 12 if other refs were moved:

  --ours GLOB        it goes where it is here; GLOB stands for MODEL@ALIAS, such as 'aapl_*@production'
  --theirs GLOB      it goes where it is there; a push leaves it, and the next pull follows
  --force            as the sender has it: here for a push, there for a pull
  --force-with-lease a push forces it where the remote still has it as it was last seen

What the receiving side protects (friday-store protect) is left alone whatever is forced.

import brings in a file of export as a pull would: the file is the sender, and was never in step with this registry
unless it builds on one that was (export --since).

A version that was removed here stays there until push --prune or mirror; restore brings back what a pull --prune
removed. The flags of --porcelain, and of lists:

  * new    + forced    - removed    ! left alone    = kept as it was    a blank: moved on"""

_FORMATTING: Final = """\
What a command writes to stdout, and only that, is data; notes, warnings, errors, hints and progress go to stderr.

  --format human     tables and sentences; what a terminal gets unasked
  --format tsv       one record a line, whole digests, times in ISO form, bytes as numbers; what a pipe gets unasked
  --header           titles above TSV
  --json             all fields: a list for lists, an object for one thing; fields are added, never removed
  --format jsonl     one object a line
  -q                 one id a line
  --fields A,B.C     only these fields, in this order, in every format; a wrong one lists those that there are

A table is cut to the terminal, names last; --no-truncate shows it in full. Long output on a terminal goes to the pager;
--no-pager or FRIDAY_STORE_PAGER=cat keeps it. A number that JSON cannot hold is the text NaN, Infinity or -Infinity.

Colour is decided for stdout and stderr apart: --color, else NO_COLOR, else FORCE_COLOR or CLICOLOR_FORCE, else
TERM=dumb, else whether it is a terminal.

Progress of a copy is on stderr after a second: --progress auto, bar, json (a line is an object) or none."""


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(len(name) for name in rows)
    return "\n".join([title, "", *(f"  {name.ljust(width)}  {meaning}" for name, meaning in rows.items())])


TOPICS: Final = {
    "exit-codes": _table(
        "Every code but 0 is a failure; new ones may come.", {str(code): what for code, what in EXIT_CODES.items()}
    ),
    "environment": _table("The environment:", ENVIRONMENT),
    "formatting": _FORMATTING,
    "revisions": _REVISIONS,
    "search": _SEARCH,
    "sync": _SYNC,
}
