"""What the documents say is true of the program: commands, options, keys, codes, metrics, values, files."""

from __future__ import annotations

import datetime
import json
import re
import shlex
import uuid
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import bson
import pytest
import typer
from bson import Binary, Decimal128, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation

from cdc_cli.apply.ids import row_id
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.rights import LEAST
from cdc_cli.cli.app import make_app
from cdc_cli.cli.config_check import check
from cdc_cli.envelope import Encoder, codec_options, decode
from cdc_cli.errors import ExitCode
from cdc_cli.events import ChangeEvent, Operation, Position
from cdc_cli.observe.metrics import METRICS
from cdc_cli.settings.keys import environment_names, keys, sections, twins

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("*.md"))]
SOURCES = sorted((ROOT / "cdc_cli").rglob("*.py"))

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILES = (".md", ".py", ".yaml", ".json", ".example", ".toml", ".sh", ".service")

OPTIONS_OF_OTHERS = {"--replSet", "--previous", "--volumes"}
"""Of mongod, kubectl and docker compose."""

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(text_of(document)) if kind == language]


def inline(document: Path) -> list[str]:
    """What stands between backticks, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text_of(document)))


def headings(document: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(document)), re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def section(heading: str) -> str:
    """The text of README below a heading, up to the next one of its level."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text_of(README), re.MULTILINE | re.DOTALL)
    assert found, f"README has no heading {heading!r}"
    return found[2]


def rows(table: str) -> list[list[str]]:
    """Cells of the Markdown tables in a text, without head and rule."""
    lines = [line for line in table.splitlines() if line.startswith("|") and not line.startswith(("|---", "| |"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def program() -> Any:
    return typer.main.get_command(make_app())


@cache
def source() -> str:
    return "\n".join(text_of(path) for path in SOURCES)


def shell_commands(document: Path) -> Iterator[list[str]]:
    """The arguments of every call of `cdc` in shell blocks and between backticks."""
    lines = [line for body in blocks(document, "sh") for line in body.replace("\\\n", " ").splitlines()]
    lines += [code for code in inline(document) if code.startswith("cdc ") and "COMMAND" not in code]
    for line in lines:
        words = shlex.split(line, comments=True)
        for at, word in enumerate(words):
            before = words[at - 1] if at else "&&"
            if word.endswith("bin/cdc") or (word == "cdc" and before in ("&&", "--", "watch", ";")):
                yield words[at + 1 : words.index("&&", at) if "&&" in words[at:] else None]


def explain(arguments: list[str]) -> str:
    """What of a command line does not exist in the program; empty when all of it does."""
    command, rest = program(), list(arguments)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    if hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        return f"no command {rest[0]}"
    known = {name for param in command.params for name in param.opts} | {"--help", "-h"}
    used = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return ", ".join(f"no option {name}" for name in used if name not in known)


def all_options() -> set[str]:
    found, todo = {"--help"}, [program()]
    while todo:
        command = todo.pop()
        found |= {name for param in command.params for name in param.opts}
        todo += getattr(command, "commands", {}).values()
    return found


@documents
def test_every_command_and_option_that_is_named_exists(document: Path) -> None:
    wrong = {" ".join(words): said for words in shell_commands(document) if (said := explain(words))}
    assert wrong == {}


def test_the_check_of_commands_notices_what_does_not_exist() -> None:
    assert explain(["watch", "--speed", "9"]) == "no option --speed"
    assert explain(["token", "frobnicate"]) == "no command frobnicate"
    assert explain(["token", "reset", "--to-now", "--yes"]) == ""
    assert len(list(shell_commands(README))) > 30


@documents
def test_every_option_that_stands_alone_exists(document: Path) -> None:
    named = {code.split()[0].partition("=")[0] for code in inline(document) if code.startswith("--")}
    assert named - all_options() - OPTIONS_OF_OTHERS == set()


def test_every_command_is_in_the_table_of_commands() -> None:
    table = section("The commands")
    missing = []
    for name, command in program().commands.items():
        for full in [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]:
            if f"`cdc {full}" not in table:
                missing.append(full)
    assert missing == []


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    documented = [int(row[0]) for row in rows(section("Exit codes")) if row[0].isdigit()]
    assert documented == sorted(documented)
    assert set(documented) == {int(code) for code in ExitCode}


def test_every_heading_that_a_message_refers_to_exists() -> None:
    known = headings(README)
    texts = source() + text_of(ROOT / "cdc.yaml.example")
    referred = re.findall(r'README, "?([A-Z][A-Za-z ]+)', texts)
    assert len(referred) >= 5
    unknown = [name for name in referred if not any(name.strip().startswith(heading) for heading in known)]
    assert unknown == []


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for target in _LINK.findall(text_of(document)):
        if target.startswith("https://"):
            continue
        name, _, part = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (part and part not in map(anchor, headings(file))):
            broken.append(target)
    assert broken == []


@documents
def test_every_file_that_is_named_exists(document: Path) -> None:
    ours = re.compile(r"(cdc_cli|tests|examples|\.ci)/[A-Za-z0-9_./@-]*")
    named = {code for code in inline(document) if ours.fullmatch(code)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


@documents
def test_every_key_of_the_configuration_that_is_named_exists(document: Path) -> None:
    known = {*keys(), *twins(), *sections()}
    named = set()
    for code in inline(document):
        path = code.partition(":")[0]
        is_path = re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", path) and not path.endswith(_FILES)
        if is_path and path.partition(".")[0] in sections():
            named.add(path)
    for words in shell_commands(document):
        named |= {word.partition("=")[0] for before, word in pairwise(words) if before == "--set"}
    assert named - known == set()


@documents
def test_every_variable_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"\bCDC_[A-Z_]*__[A-Z_]+\b", text_of(document)))
    assert named - set(environment_names()) == set()


def test_the_metrics_are_those_of_the_program() -> None:
    documented = set(re.findall(r"`(cdc_[a-z_]+)(?:\{\w+\})?`", section("Health and metrics")))
    gauges = set(re.findall(r'Gauge\("(cdc_[a-z_]+)"', source()))
    assert documented == {public.metric for public in METRICS.values()} | gauges | {"cdc_build_info", "cdc_shard_info"}


def test_the_reasons_of_skipped_events_are_those_of_the_program() -> None:
    row = next(row for row in rows(section("Health and metrics")) if row[0].startswith("`cdc_events_skipped"))
    fixed = [public.fixed for public in METRICS.values() if public.metric == "cdc_events_skipped_total"]
    assert set(re.findall(r"`([a-z]+)`", row[1])) == {pair[1] for pair in fixed if pair}


def test_every_dotted_name_is_a_key_a_file_or_stands_in_the_code() -> None:
    """Log fields, actions, error codes, headers of dead letters, tables."""
    unknown = []
    for code in inline(README):
        name = code.partition(":")[0]
        if not re.fullmatch(r"@?[a-z_]+(\.[a-z_]+)+", name) or name.endswith(_FILES) or name in {*keys(), *twins()}:
            continue
        field = re.compile(rf"\b{re.escape(name.removeprefix('cdc.'))}=")
        if name not in source() and not (name.startswith("cdc.") and field.search(source())):
            unknown.append(name)
    assert unknown == []


def test_the_kinds_of_adjusted_values_are_those_of_the_program() -> None:
    kinds = set(re.findall(r'_count\("(\w+)"', text_of(ROOT / "cdc_cli/apply/text.py")))
    documented = {row[0].strip("`") for row in rows(section("Values")) if re.fullmatch(r"`[a-z_]+`", row[0])}
    assert documented == kinds


VALUES = [
    ("ObjectId", ObjectId("65a1" * 6), '{"$oid": "65a1..."}', '"65a1..."'),
    (
        "date",
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678_000),
        '{"$date": "2026-01-02T03:04:05.678Z"}',
        '"2026-01-02T03:04:05.678Z"',
    ),
    ("Decimal128", Decimal128("12.50"), '{"$numberDecimal": "12.50"}', '"12.50"'),
    ("Timestamp", Timestamp(5, 6), '{"$timestamp": {"t": 5, "i": 6}}', '{"t": 5, "i": 6}'),
    ("regular expression", Regex("^a", "i"), '{"$regularExpression": {"pattern": "^a", "options": "i"}}', '"/^a/i"'),
    ("double NaN, Infinity, -Infinity", float("nan"), '{"$numberDouble": "NaN"}', '"NaN"'),
    (
        "UUID (binary subtype 4)",
        Binary.from_uuid(uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), UuidRepresentation.STANDARD),
        '{"$binary": {"base64": "...", "subType": "04"}}',
        '"00112233-4455-6677-8899-aabbccddeeff"',
    ),
]


def envelope_of(id_: Any, document: dict[str, Any]) -> Any:
    read = bson.decode(bson.encode({"_id": id_, **document}), codec_options())
    event = ChangeEvent(Operation.INSERT, "game", "players", read["_id"], Position(1, 2, 0), 0, read)
    return decode(Encoder().encode(event)[1])


def is_like(shown: str, real: Any) -> bool:
    """`...` in the document stands for any text."""
    pattern = re.escape(json.dumps(json.loads(shown))).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, json.dumps(real)) is not None


@pytest.mark.parametrize(("kind", "value", "exact", "natural"), VALUES, ids=[row[0] for row in VALUES])
def test_the_table_of_values_shows_what_the_program_makes(kind: str, value: Any, exact: str, natural: str) -> None:
    row = next(row for row in rows(section("Values")) if row[0] == kind)
    assert f"`{exact}`" in row[1]
    assert f"`{natural}`" in row[2]
    envelope = envelope_of(1, {"v": value})
    for form, shown in (("ejson", exact), ("natural", natural)):
        change = Mapper("ejson" if form == "ejson" else "natural").map(envelope, None)
        assert change is not None and change.document is not None
        assert is_like(shown, json.loads(change.document)["v"])


IDS: dict[str, tuple[Any, str, str]] = {
    '`"p1"`': ("p1", "p1", "string"),
    '`NumberDecimal("0.1")`, which no double equals': (Decimal128("0.1"), "1E-1", "decimal"),
    "date": (datetime.datetime(2026, 1, 2), "2026-01-02T00:00:00.000Z", "date"),
    "`Timestamp(1, 2)`": (Timestamp(1, 2), "1:2", "timestamp"),
    "an object such as `{a: 1}`": ({"a": 1}, '{"a":1}', "object"),
}


@pytest.mark.parametrize("shown", IDS)
def test_the_table_of_ids_shows_what_the_program_makes(shown: str) -> None:
    value, text, kind = IDS[shown]
    row = next(row for row in rows(section("Rows")) if row[0] == shown)
    assert row[1:] == [f"`{text}`", f"`{kind}`"]
    assert row_id(envelope_of(value, {}).id_json) == (text.encode(), kind)


def test_the_configuration_in_readme_is_valid(tmp_path: Path) -> None:
    (body,) = blocks(README, "yaml")
    file = tmp_path / "cdc.yaml"
    file.write_text(body)
    file.chmod(0o600)
    assert check([file], {}, [], strict=False, connect_within=None).exit_code is ExitCode.OK


def test_the_rights_in_postgresql_are_those_of_the_program() -> None:
    def statements(text: str) -> list[str]:
        return [line.partition("--")[0].strip() for line in text.strip().splitlines()]

    (body,) = re.findall(r"```sql\n(.*?)```", section("Rights in PostgreSQL"), re.DOTALL)
    assert statements(body) == statements(LEAST)


def test_the_first_two_blocks_are_the_two_commands() -> None:
    install = "python3 -m venv .venv && .venv/bin/pip install --quiet"
    assert [body.strip() for body in blocks(README, "sh")[:2]] == [
        f"{install} '.[demo]' && .venv/bin/cdc demo",
        f"{install} '.[test]' && .venv/bin/python -m pytest -n 2",
    ]
