"""What the models cannot say: rules about one value's content or about several values together.

Each rule is a generator over the settings; a `Problem` names the keys it is about. A problem about a key
whose value is not known (reported already, or a variable that is not set here) is dropped.
"""

from __future__ import annotations

from collections.abc import Collection

from cdc_cli.settings.findings import DEFAULT, Finding, Origin
from cdc_cli.settings.models import Settings
from cdc_cli.settings.node import Node, find
from cdc_cli.settings.rules import kafka, limits, mongodb, targets
from cdc_cli.settings.rules.problem import Problem, Rule

RULES: tuple[Rule, ...] = (*mongodb.RULES, *kafka.RULES, *targets.RULES, *limits.RULES)


def check_rules(
    settings: Settings, unknown: Collection[str], root: Node, findings: list[Finding], *, offline: bool
) -> None:
    """Add what the rules find; `offline` leaves out the rules that look at the file system."""
    missing = {path.partition("[")[0] for path in unknown}
    rules = RULES if offline else (*RULES, *kafka.FILE_RULES)
    for problem in (problem for rule in rules for problem in rule(settings)):
        if not any(_touches(path, other) for path in problem.paths for other in missing):
            findings.append(_finding(problem, root))


def _touches(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")


def _finding(problem: Problem, root: Node) -> Finding:
    origin = next((o for path in problem.paths if (o := _origin(path, root)) is not None), DEFAULT)
    return Finding(
        problem.severity, problem.code, problem.paths[0], problem.message, problem.suggestion, origin
    )


def _origin(path: str, root: Node) -> Origin | None:
    node = find(root, path.split("."))
    return node.origin if node else None
