"""What a command prints."""

from __future__ import annotations

import io
import json

import pytest

from cdc_cli.cli.output import Mark, Output, OutputFormat, aligned


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(form: OutputFormat, stdout: io.StringIO | None = None, **environment: str) -> Output:
    return Output("token.show", form, stdout or io.StringIO(), io.StringIO(), environment)


def printed(out: Output) -> str:
    stream = out._stdout
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def use(out: Output) -> None:
    out.text("hello")
    out.table(["name", "rows"], [["players", 3]])
    out.item({"n": 1})
    out.result({"name": "é", "list": []}, summary={"rows": 3}, ok=False)


def test_text_is_for_people() -> None:
    out = output(OutputFormat.TEXT)
    use(out)
    assert printed(out) == "hello\nname     rows\nplayers     3\n"


def test_json_is_exactly_one_envelope() -> None:
    out = output(OutputFormat.JSON)
    use(out)
    assert json.loads(printed(out)) == {
        "command": "token.show",
        "schema": 1,
        "ok": False,
        "summary": {"rows": 3},
        "result": {"name": "é", "list": []},
        "error": None,
    }


def test_a_stream_is_one_object_a_line_without_envelope() -> None:
    out = output(OutputFormat.JSONL)
    use(out)
    out.item({"n": 2})
    assert [json.loads(line) for line in printed(out).splitlines()] == [{"n": 1}, {"n": 2}]


def test_a_failure_stands_in_the_envelope() -> None:
    out = output(OutputFormat.JSON)
    out.failure({"code": "denied"})
    envelope = json.loads(printed(out))
    assert (envelope["ok"], envelope["error"], envelope["result"]) == (False, {"code": "denied"}, None)


def test_notes_go_to_stderr_in_every_form() -> None:
    for form in OutputFormat:
        out = output(form)
        out.note("careful")
        assert printed(out) == ""
        assert isinstance(out._stderr, io.StringIO)
        assert out._stderr.getvalue() == "careful\n"


def test_columns_are_aligned_and_nothing_is_cut() -> None:
    long = "x" * 300
    assert aligned(["name", "n", "text"], [["a", 5, "t"], [long, 10, "u"]]) == [
        f"name{' ' * 296}   n  text",
        f"a{' ' * 299}   5  t",
        f"{long}  10  u",
    ]
    assert aligned(["name", "n"], []) == ["name  n"]


@pytest.mark.parametrize(
    ("stdout", "environment", "expected"),
    [
        (io.StringIO(), {}, "[FAIL]"),
        (io.StringIO(), {"FORCE_COLOR": "1"}, "[FAIL]"),
        (Terminal(), {}, "\x1b[31m✗\x1b[0m"),
        (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, "✗"),
        (Terminal(), {"TERM": "dumb"}, "[FAIL]"),
    ],
)
def test_marks_are_words_off_a_terminal_and_colour_is_never_alone(
    stdout: io.StringIO, environment: dict[str, str], expected: str
) -> None:
    assert output(OutputFormat.TEXT, stdout, **environment).mark(Mark.FAIL) == expected
