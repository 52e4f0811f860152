"""`cdc config`: check a configuration, show what it comes to, and describe it for editors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from cdc_cli.settings.load import Loaded

app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True)

FilesOption = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="A configuration file; repeatable, later ones win.", metavar="PATH"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one key: --set syncer.workers=16. Repeatable.", metavar="KEY=VALUE"),
]


@app.command()
def validate(
    file: Annotated[list[Path] | None, typer.Argument(help="Files to check; later ones win.")] = None,
    config: FilesOption = None,
    assignments: SetOption = None,
    output: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--output", "-o", help="github = annotations for GitHub Actions."),
    ] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also ask every server, read-only. Needs the secrets.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="With --connect: for all servers together.")
    ] = "10s",
) -> None:
    """Check a configuration; needs no network and no secrets unless --connect is given.

    A variable that is not set is a warning here, and an error when the pipeline starts. Exit code 78 when
    there are errors; with --connect also 77 (no right), 69 (not reachable).
    """
    from cdc_cli.cli.config_check import check

    files = [*(file or []), *(config or [])]
    seconds = _seconds(timeout)
    report = check(
        files, os.environ, assignments or [], strict=strict, connect_within=seconds if connect else None
    )
    typer.echo(report.render(output))
    raise typer.Exit(report.exit_code)


@app.command()
def show(
    config: FilesOption = None,
    assignments: SetOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value was given.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="text is YAML.")] = "text",
) -> None:
    """Print every key as it works after files, environment and --set; secrets are masked."""
    from cdc_cli.cli.config_check import envelope
    from cdc_cli.settings.effective import as_tree, as_yaml, values

    loaded = _load_offline(config, assignments, output)
    for warning in loaded.warnings:
        typer.echo(warning.text, err=True)
    if output == "text":
        typer.echo(as_yaml(loaded, with_origin=origin))
        return
    result: dict[str, object] = {"config": as_tree(values(loaded))}
    if origin:
        result["origins"] = {path: found.text for path, found in loaded.origins.items()}
    typer.echo(envelope("config.show", True, {"files": [str(file) for file in loaded.files]}, result))


@app.command()
def schema() -> None:
    """Print the JSON Schema of cdc.yaml, for completion and checks in editors."""
    import json

    from cdc_cli.settings.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _load_offline(config: list[Path] | None, assignments: list[str] | None, output: str) -> Loaded:
    from cdc_cli.cli.config_check import failure
    from cdc_cli.errors import ExitCode
    from cdc_cli.settings.findings import InvalidConfig
    from cdc_cli.settings.load import load

    try:
        return load(config or [], os.environ, assignments or [], offline=True)
    except InvalidConfig as exc:
        if output == "json":
            typer.echo(failure("config.show", exc))
        else:
            typer.echo(f"error: {exc.message}\n{exc.hint}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from exc


def _seconds(text: str) -> float:
    from cdc_cli.settings.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--timeout") from exc
