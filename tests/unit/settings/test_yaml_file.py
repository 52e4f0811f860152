"""What YAML would read differently from how it looks is refused; nothing in a file can run or explode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.settings.scalars import plain_value, trap
from tests.unit.settings.conftest import Findings, Load


@pytest.mark.parametrize(
    "word",
    ["no", "Yes", "ON", "off", "0123", "012", "08", "0x1F", "0o17", "12:30", "12:30:45", "1_000", ".0_", "1_0.5e+3"],
)
def test_a_word_that_yaml_reads_otherwise_is_refused_at_its_place(errors_of: Findings, word: str) -> None:
    (found,) = errors_of(f"mongodb:\n  database: {word}\n")
    assert (found.code, found.path) == ("config.ambiguous_value", "mongodb.database")
    assert found.place == "1.yaml:2:13"
    assert word not in found.message


@pytest.mark.parametrize("word", ["no", "0123", "12:30:45", "true", "null", "~", "5"])
def test_in_quotes_the_same_word_is_text(load_text: Load, word: str) -> None:
    assert load_text(f'mongodb: {{collections: ["{word}"]}}').settings.mongodb.collections == [word]


def test_a_time_stays_text(load_text: Load) -> None:
    loaded = load_text("watcher: {start_from: 2026-11-23T06:00:00Z}")
    assert loaded.settings.watcher.start_from == "2026-11-23T06:00:00Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e5", "1e5"),
        (".inf", ".inf"),
        ("y", "y"),
        ("localhost:9092", "localhost:9092"),
    ],
)
def test_plain_scalars_mean_what_both_versions_of_yaml_say(text: str, value: object) -> None:
    assert trap(text) == ""
    assert plain_value(text) == value


@given(st.text(alphabet="0123456789_.:xobyesnofXE+-", max_size=12))
def test_a_plain_scalar_that_pyyaml_reads_otherwise_is_a_trap(text: str) -> None:
    import yaml

    try:
        theirs = yaml.safe_load(f"key: {text}")["key"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError):
        return
    ours = plain_value(text.strip())
    if not isinstance(theirs, bool | int | float) or trap(text.strip()):
        return
    assert ours == theirs, f"{text!r}: {ours!r} is not {theirs!r}"


def test_a_duplicate_key_names_the_line_of_the_first(errors_of: Findings) -> None:
    (found,) = errors_of("syncer:\n  workers: 1\n  on_error: stop\n  workers: 2\n")
    assert (found.code, found.place) == ("config.duplicate_key", "1.yaml:4:3")
    assert found.message == "this key is already on line 2"


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch pwned]", "!!str x", "!secret x", "! x"]
)
def test_tags_are_refused_and_nothing_runs(errors_of: Findings, tag: str) -> None:
    found = errors_of(f"name: {tag}\n")
    assert "config.tag" in {finding.code for finding in found}


def test_an_alias_bomb_is_refused_without_being_expanded(errors_of: Findings) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "config.alias" in {finding.code for finding in errors_of("\n".join(lines))}


def test_merge_keys_are_refused(errors_of: Findings) -> None:
    found = errors_of("retry: &r {max_attempts: 3}\nsyncer:\n  <<: *r\n")
    assert "config.alias" in {finding.code for finding in found}


def test_nesting_without_end_is_refused(errors_of: Findings) -> None:
    assert errors_of("name: " + "[" * 5000)[0].code == "config.too_deep"


def test_a_file_over_one_mebibyte_is_refused(errors_of: Findings) -> None:
    assert errors_of("# " + "x" * (1 << 20))[0].code == "config.too_large"


@pytest.mark.parametrize(
    "text",
    [
        "name: [a\n",
        "name: 'a\n",
        "a: b: c\n",
        "\tname: x\n",
        "--- a\n--- b\n",
        "- a\n",
        "name: \x01\n",
        "@x\n", 'name: "\\UFFFFFFFF"\n', 'name: "\\U00110000"\n',
    ],
)
def test_broken_yaml_is_one_error_with_a_place(errors_of: Findings, text: str) -> None:
    (found,) = errors_of(text)
    assert found.code == "config.syntax"
    assert found.place.startswith("1.yaml:")


def test_what_is_not_text_is_an_error(errors_of: Findings, own_folder: object) -> None:
    from pathlib import Path

    from cdc_cli.settings.findings import Finding
    from cdc_cli.settings.yaml_file import read_yaml

    Path("latin.yaml").write_bytes(b"name: a\nalerts: \xe4\n")
    findings: list[Finding] = []
    read_yaml(Path("latin.yaml"), {}, findings, offline=False)
    assert [(finding.code, finding.place) for finding in findings] == [("config.syntax", "latin.yaml:2:1")]


@pytest.mark.parametrize("key", ["1: x", "? [a]\n: x", "null: x", "on: x", '"a\\nb": x'])
def test_strange_keys_are_unknown_keys(errors_of: Findings, key: str) -> None:
    (found,) = errors_of(f"{key}\n")
    assert found.code == "config.unknown_key"
    assert "\n" not in found.text


def test_a_byte_order_mark_is_no_trouble(load_text: Load) -> None:
    assert load_text("\ufeffname: bom").settings.name == "bom"
