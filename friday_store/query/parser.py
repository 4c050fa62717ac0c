"""From text to a tree: the language's grammar, by recursive descent.

::

    either     = both { "or" both }
    both       = one { "and" one }
    one        = "not" one | "(" either ")" | "descends" "from" TEXT | field test
    test       = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
               | ["not"] "in" "(" value { "," value } ")"
               | ["not"] ("like" | "glob") TEXT
               | ["not"] "between" value "and" value
               | "is" ["not"] "null"
    keys       = key { "," key }
    key        = ["-"] field ["asc" | "desc"]
    field      = WORD { "." (WORD | QUOTED) | "[" NUMBER "]" }
    value      = TEXT | NUMBER | "true" | "false"

Keywords in any case. TEXT stands in single quotes, a quote in it twice; where a value is expected double quotes do
too. QUOTED is a key with other characters, in double quotes or backticks. ``==`` is ``=`` and ``<>`` is ``!=``.

Written by hand rather than with a parser generator: the grammar is these few lines, and what the tables of a generated
parser cannot say well is the point here, namely what is wrong, where, and what was probably meant.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, NamedTuple

from friday_store.errors import QueryError
from friday_store.query import fields
from friday_store.query.tree import And, Compare, Descends, Field, Not, Operator, Or, Tree, Value

LONGEST: Final = 10_000
DEEPEST: Final = 50
MOST: Final = 200
MOST_KEYS: Final = 8
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?!\w)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|!=|<>|==|[=<>(),.\[\]-]))""",
    re.VERBOSE,
)
_COMPARISONS: Final[dict[str, Operator]] = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS: Final = ("in", "like", "glob", "between", "is", "not")
_KEYWORDS: Final = frozenset((*_WORDS, "and", "or", "null"))


class Token(NamedTuple):
    """A word, sign or literal, and where it begins."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Tree:
    """Return what a query says; nothing at all says that everything will do.

    Raises:
        QueryError: It says what is wrong, and where.
    """
    if not isinstance(text, str):
        raise QueryError(f"a query is text, not {type(text).__name__}", text="", column=1)
    if len(text) > LONGEST:
        raise QueryError(f"a query has at most {LONGEST} characters, and this one {len(text)}", text="", column=1)
    return _Parser(text).whole()


def keys(text: str) -> list[tuple[Field, bool]]:
    """Return the fields that an order names, and for each whether the greatest come first.

    Raises:
        QueryError: It says what is wrong, and where.
    """
    if len(text) > LONGEST:
        raise QueryError(f"order_by: at most {LONGEST} characters, and here are {len(text)}", text="", column=1)
    return _Parser(text, "order_by: ").keys()


class _Parser:
    """One reading of one text; its errors begin with a word of their own."""

    def __init__(self, text: str, before: str = "") -> None:
        self._text = text
        self._before = before
        self._tokens = self._split()
        self._place = 0
        self._depth = 0
        self._tests = 0

    def refused(self, problem: str, at: int, hint: str | None = None) -> QueryError:
        """Return the error that points at a character."""
        return QueryError(self._before + problem, text=self._text, column=at + 1, hint=hint)

    def whole(self) -> Tree:
        """Read all of it."""
        if self._next.kind == "end":
            return And(())
        tree = self._either()
        if self._next.kind != "end":
            near = difflib.get_close_matches(self._next.text.lower(), ("and", "or"), 1, 0.5)
            more = f"; did you mean {near[0]!r}?" if near else "; conditions are joined by 'and' or 'or'"
            raise self.refused(f"{self._next.text!r} does not belong here{more}", self._next.at)
        return tree

    def keys(self) -> list[tuple[Field, bool]]:
        """Read all of it as an order."""
        found: list[tuple[Field, bool]] = []
        while True:
            down = self._got("-")
            start = self._next
            if len(found) == MOST_KEYS:
                raise self.refused(f"an order has at most {MOST_KEYS} keys", start.at)
            field = self._field()
            if field.kind == "many":
                raise self.refused(f"there can be many of {field.name}, so nothing is sorted by it", start.at)
            down = down != self._is("desc")
            self._got("asc", "desc")
            found.append((field, down))
            if not self._got(","):
                break
        if self._next.kind != "end":
            raise self.refused(f"{self._next.text!r} does not belong here; between keys stands a comma", self._next.at)
        return found

    def _split(self) -> list[Token]:
        half = _HALF.search(self._text)
        if half is not None:
            problem = f"half a surrogate pair is no character, and column {half.start() + 1} holds one"
            raise QueryError(self._before + problem, text="", column=half.start() + 1)  # it could not be printed
        tokens, at = [], 0
        end = len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                sign = self._text[start]
                problem = f"{sign!r} does not belong here"
                if sign in "'\"`":
                    problem = f"the {sign} that opens here is not closed"
                elif sign.isdigit() or sign in "+-":
                    problem = "this is no number; text stands in quotes"
                raise self.refused(problem, start)
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match[kind], match.start(kind)))
            at = match.end()
        return [*tokens, Token("end", "the end", end)]

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _is(self, *words: str) -> bool:
        """Whether a keyword or sign comes next."""
        return self._next.kind in ("word", "sign") and self._next.text.lower() in words

    def _got(self, *words: str) -> bool:
        """Take a keyword or sign if it comes next."""
        found = self._is(*words)
        self._place += found
        return found

    def _must(self, word: str, why: str) -> None:
        if not self._got(word):
            raise self.refused(f"expected {word!r} {why}, not {self._next.text!r}", self._next.at)

    def _either(self) -> Tree:
        parts = [self._both()]
        while self._got("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Tree:
        parts = [self._one()]
        while self._got("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Tree:
        start = self._next
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.refused(f"a query nests at most {DEEPEST} deep", start.at)
        if self._got("not"):
            found: Tree = Not(self._one())
        elif self._got("("):
            found = self._either()
            self._must(")", f"for the '(' in column {start.at + 1}")
        elif self._is("descends") and self._tokens[self._place + 1].text.lower() == "from":
            self._place += 2
            found = Descends(self._string("a version, such as 'm:1.0.0'"))
        else:
            found = self._test()
        self._depth -= 1
        return found

    def _string(self, what: str) -> str:
        token = self._take()
        if token.kind not in ("text", "quoted"):
            raise self.refused(f"expected {what} in quotes, not {token.text!r}", token.at)
        return _unquoted(token.text)

    def _test(self) -> Tree:
        start = self._next
        self._tests += 1
        if self._tests > MOST:
            raise self.refused(f"a query has at most {MOST} conditions", start.at)
        field = self._field()
        token = self._take()
        word = token.text.lower() if token.kind in ("word", "sign") else ""
        if word in _COMPARISONS:
            return Compare(field, _COMPARISONS[word], (self._value(field, _COMPARISONS[word]),))
        if word in ("!=", "<>"):
            return Not(Compare(field, "=", (self._value(field, "="),)))
        if word == "is":
            turned = self._got("not")
            self._must("null", "after 'is'")
            return Not(Compare(field, "null")) if turned else Compare(field, "null")
        turned = word == "not"
        if turned:
            token = self._take()
            word = token.text.lower() if token.kind == "word" else ""
        found = self._worded(field, word, token)
        return Not(found) if turned else found

    def _worded(self, field: Field, word: str, token: Token) -> Compare:
        if word == "in":
            self._must("(", "after 'in'")
            values = [self._value(field, "=")]
            while self._got(","):
                values.append(self._value(field, "="))
            self._must(")", "after the values")
            return Compare(field, "in", tuple(values))
        if word == "between":
            low = self._value(field, "between")
            self._must("and", "between the bounds")
            at = self._next.at
            high = self._value(field, "between")
            if isinstance(low, str) != isinstance(high, str):
                raise self.refused("the bounds are of two kinds", at)
            return Compare(field, "between", (low, high))
        if word in ("like", "glob"):
            operator: Operator = "like" if word == "like" else "glob"
            return Compare(field, operator, (self._value(field, operator),))
        near = difflib.get_close_matches(word, _WORDS, 1, 0.5) if word else []
        more = f"; did you mean {near[0]!r}?" if near else ": one of = != < <= > >= in like glob between, or is null"
        raise self.refused(f"expected a comparison, not {token.text!r}{more}", token.at)

    def _field(self) -> Field:
        start = self._take()
        if start.kind != "word" or start.text.lower() in _KEYWORDS:
            what = "a field" if start.kind == "end" else f"a field, not {start.text!r}"
            raise self.refused(f"expected {what}", start.at, "friday-store help search")
        steps: list[str | int] = []
        while True:
            if self._got("."):
                token = self._take()
                if token.kind not in ("word", "quoted"):
                    raise self.refused(f'expected a key, not {token.text!r}; others stand in "double quotes"', token.at)
                steps.append(token.text if token.kind == "word" else _unquoted(token.text))
            elif self._got("["):
                token = self._take()
                if not token.text.isdecimal() or len(token.text) > 9:
                    raise self.refused("expected a place in a list, such as [0]", token.at)
                steps.append(int(token.text))
                self._must("]", "after the place")
            else:
                break
        try:
            return fields.field(start.text, steps)
        except fields.RefusedError as error:
            raise self.refused(str(error), start.at) from error

    def _value(self, field: Field, operator: Operator) -> Value:
        token = self._take()
        given: Value
        if token.kind in ("text", "quoted"):
            given = _unquoted(token.text)
        elif token.kind == "number":
            given = (
                int(token.text) if token.text.lstrip("+-").isdecimal() and len(token.text) < 400 else float(token.text)
            )
        elif token.text.lower() in ("true", "false"):
            given = token.text.lower() == "true"
        elif token.text.lower() == "null":
            raise self.refused("nothing equals null: write 'is null' or 'is not null'", token.at)
        elif token.kind == "word" and token.text.lower() not in _KEYWORDS:
            raise self.refused(f"text stands in quotes: '{token.text}'", token.at)
        else:
            raise self.refused(f"expected a value, not {token.text!r}", token.at)
        try:
            return fields.value(field, operator, given)
        except fields.RefusedError as error:
            raise self.refused(str(error), token.at) from error


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
