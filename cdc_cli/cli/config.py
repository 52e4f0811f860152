"""`cdc config`: check a configuration, show what it comes to, and describe it for editors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from cdc_cli.cli.options import ConfigOpt, SetOpt, TimeoutOpt
from cdc_cli.cli.output import OutputFormat

app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True)


@app.command()
def validate(
    file: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Files to check; later ones win.")
    ] = None,
    config: ConfigOpt = None,
    assignments: SetOpt = None,
    output: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--output", "-o", help="github = annotations for GitHub Actions."),
    ] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also ask every server, read-only. Needs the secrets.")
    ] = False,
    timeout: TimeoutOpt = "10s",
) -> None:
    """Check a configuration; needs no network and no secrets unless --connect is given.

    A variable that is not set is a warning here, and an error when the pipeline starts. Exit code 78 when
    there are errors; with --connect also 77 (no right) and 69 (not reachable within --timeout, which all
    servers share).
    """
    from cdc_cli.cli.config_check import check
    from cdc_cli.cli.session import open_session

    seconds = _seconds(timeout) if connect else None
    files = [*(file or []), *(config or [])]
    form = OutputFormat.JSON if output == "json" else OutputFormat.TEXT
    with open_session("config.validate", output=form, needs_config=False) as session:
        report = check(files, os.environ, assignments or [], strict=strict, connect_within=seconds)
        lines = report.github() if output == "github" else report.text(session.output.mark)
        for line in lines:
            session.output.text(line)
        session.output.result(report.result, summary=report.summary, ok=report.is_fine)
        raise typer.Exit(int(report.exit_code))


@app.command()
def show(
    config: ConfigOpt = None,
    assignments: SetOpt = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value was given.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="text is YAML.")] = "text",
) -> None:
    """Print every key as it works after files, environment and --set; secrets are masked."""
    from cdc_cli.cli.session import open_session
    from cdc_cli.settings.effective import as_tree, as_yaml, values
    from cdc_cli.settings.load import load

    with open_session("config.show", output=OutputFormat(output), needs_config=False) as session:
        loaded = load(config or [], os.environ, assignments or [], offline=True)
        for warning in loaded.warnings:
            session.output.note(warning.text)
        session.output.text(as_yaml(loaded, with_origin=origin))
        result: dict[str, object] = {"config": as_tree(values(loaded))}
        if origin:
            result["origins"] = {path: found.text for path, found in loaded.origins.items()}
        session.output.result(result, summary={"files": [str(file) for file in loaded.files]})


@app.command()
def schema() -> None:
    """Print the JSON Schema of cdc.yaml, for completion and checks in editors."""
    import json

    from cdc_cli.settings.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _seconds(text: str) -> float:
    from cdc_cli.settings.units import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--timeout") from exc
    if seconds <= 0:
        raise typer.BadParameter("it must be more than 0", param_hint="--timeout")
    return seconds
