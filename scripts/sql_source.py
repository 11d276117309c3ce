"""Reads the SQL sources of the extension for the checks: order, statements, routines, words."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SQL = ROOT / "extension" / "sql"

TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<dollar>  \$(?P<tag>[A-Za-z_0-9]*)\$ .*? \$(?P=tag)\$ )
    | (?P<string>  (?:\b[eEbBxX])?'(?:[^'\\]|''|\\.)*' )
    | (?P<quoted>  "(?:[^"]|"")*" )
    | (?P<word>    [A-Za-z_][A-Za-z_0-9$]* )
    | (?P<number>  \d[\d.eE]* )
    | (?P<mark>    :: | := | [^\s\w] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass
class Token:
    kind: str
    text: str
    line: int

    @property
    def lower(self):
        return self.text.lower() if self.kind == "word" else self.text


def tokens_of(text, first_line=1):
    """All tokens but comments; a dollar-quoted text is one token."""
    found = []
    line, end = first_line, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        if match.lastgroup != "comment" and match.group("comment") is None:
            kind = next(k for k in ("dollar", "string", "quoted", "word", "number", "mark") if match.group(k) is not None)
            found.append(Token(kind, match.group(0), line))
    return found


def statements_of(tokens):
    """Splits at semicolons outside of dollar quotes; psql's own lines are left out by the caller."""
    current = []
    for token in tokens:
        if token.text == ";":
            if current:
                yield current
            current = []
        else:
            current.append(token)
    if current:
        yield current


@dataclass
class Routine:
    """A CREATE FUNCTION or CREATE PROCEDURE statement."""

    file: str
    kind: str
    schema: str
    name: str
    replace: bool
    line: int
    head: list
    body: str | None
    body_line: int
    lines: int
    language: str
    body_tokens: list = field(default_factory=list)

    @property
    def full_name(self):
        return f"{self.schema}.{self.name}" if self.schema else self.name


def routine_of(file, statement):
    """The Routine that the statement creates, or None."""
    words = [token.lower for token in statement]
    at = 1
    replace = words[1:3] == ["or", "replace"]
    if replace:
        at = 3
    if words[:1] != ["create"] or len(words) <= at or words[at] not in ("function", "procedure"):
        return None
    schema, name = "", words[at + 1]
    if words[at + 2] == ".":
        schema, name = name, words[at + 3]
    body = next((token for token in statement if token.kind == "dollar"), None)
    head = [token for token in statement if token.kind != "dollar"]
    language = next((words[i + 1].strip("'") for i, word in enumerate(words[:-1]) if word == "language"), "")
    last_line = max(token.line + token.text.count("\n") for token in statement)
    routine = Routine(file, words[at], schema, name, replace, statement[0].line, head, None, 0,
                      last_line - statement[0].line + 1, language)
    if body is not None:
        tag = body.text[: body.text.index("$", 1) + 1]
        routine.body = body.text[len(tag) : -len(tag)]
        routine.body_line = body.line
        routine.body_tokens = tokens_of(routine.body, body.line)
    return routine


def assembly_order():
    """Names of the sources as extension/Makefile lists them: (all, those that run once only)."""
    text = (ROOT / "extension" / "Makefile").read_text().replace("\\\n", " ")
    listed = {}
    for variable in ("SQL_ONCE", "SQL_FUNCTIONS"):
        listed[variable] = re.search(rf"^{variable} *= *(.*)$", text, re.MULTILINE).group(1).split()
    return listed["SQL_ONCE"] + listed["SQL_FUNCTIONS"], listed["SQL_ONCE"]


def read_statements(path):
    """The statements of a source; psql's lines (\\echo) are dropped."""
    text = re.sub(r"^\\.*$", "", path.read_text(), flags=re.MULTILINE)
    return list(statements_of(tokens_of(text)))
