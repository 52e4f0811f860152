"""The work of `cdc replay`: make the plan, show it, carry it out, say what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from cdc_cli.cli import replay_text as text
from cdc_cli.cli.progress import progress_of
from cdc_cli.cli.replay_request import Asked, handling_of, selection_of, topics_of
from cdc_cli.cli.session import Session
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Backlog
from cdc_cli.consume.letters import backlog_group
from cdc_cli.consume.ranges import Plan, make_plan
from cdc_cli.errors import ExitCode
from cdc_cli.retry import Stopped
from cdc_cli.wiring import wire
from cdc_cli.workers.replay import Replayer, ReplayTools, Tally
from cdc_cli.workers.signals import stop_on_signals


def run(session: Session, asked: Asked, execute: bool, allow_partial: bool) -> None:
    """Ends with 1 when the plan cannot cover the request or something failed, with 130 or 143 when interrupted."""
    with stop_on_signals(session.stop) as heard, wire(session.settings, session.stop) as container:
        try:
            code = _Run(session, asked, container.get(ReplayTools)).go(execute, allow_partial)
        except Stopped:
            session.output.note("interrupted: nothing was applied")
            code = ExitCode.FORCED_INT
    if code is ExitCode.FORCED_INT:
        code = heard.exit_code
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


class _Run:
    """One run of the command."""

    def __init__(self, session: Session, asked: Asked, tools: ReplayTools) -> None:
        self._session = session
        self._asked = asked
        self._tools = tools
        self._output = session.output
        self._handling = handling_of(asked, session.settings, session.clock.time())
        self._selection = selection_of(asked, session.settings)
        self._backlog = Backlog({})

    def go(self, execute: bool, allow_partial: bool) -> ExitCode:
        if execute and self._handling.backlog:
            self._tools.starter("taking the dead letters", self._tools.memory.hold)
        plan = self._plan()
        covered = not plan.gaps or allow_partial
        described = text.Described(plan, self._asked, self._session.settings, len(self._backlog.settled))
        for line in described.lines(self._output):
            self._output.text(line)
        if execute and covered:
            return self._execute(plan, described) if plan.length else self._end(described, Tally(), {}, True, 0.0)
        if not covered:
            self._output.note("this does not cover what was asked for: --allow-partial replays what is there")
        elif plan.length:
            self._output.note("nothing was changed: this is the plan, --execute carries it out")
        self._result(described.as_json(), described.summary(), covered)
        return ExitCode.OK if covered else ExitCode.DIFFERS

    def _plan(self) -> Plan:
        tools, settings, now = self._tools, self._session.settings, self._session.clock.time()
        request = self._asked.request(now)
        group = backlog_group(settings.group_id) if request.backlog else None
        tools.starter("connecting to Kafka", lambda: tools.reader.start(group))
        topics = topics_of(self._asked, settings, tools.starter("listing topics", tools.admin.names))
        partitions = tools.starter("looking up partitions", lambda: tools.reader.partitions(topics))
        if request.offsets:
            self._asked.check_partitions(partitions)
            partitions = sorted(request.offsets)
        retentions = tools.retentions(topics) if request.since_ms is not None else {}
        plan: Plan = tools.starter(
            "making the plan",
            lambda: make_plan(tools.reader, request, partitions, retentions, int(now * 1000)),
        )
        if self._handling.backlog:
            load = lambda: tools.memory.load(plan.ranges)  # noqa: E731
            self._backlog = Backlog(tools.starter("looking up settled dead letters", load))
        return plan

    def _execute(self, plan: Plan, described: text.Described) -> ExitCode:
        replayer = self._tools.replayer(self._handling, self._selection)
        started = self._session.clock.monotonic()
        done = False
        try:
            with progress_of(self._output, self._session.clock, plan.length) as progress:
                tell = lambda: progress(_passed(plan, replayer), replayer.tally)  # noqa: E731
                done = replayer.run(plan.ranges, tell, self._backlog)
            if done and self._handling.backlog:
                self._forget(plan)
        finally:
            if not done:
                self._tell_rest(plan, replayer)
        seconds = self._session.clock.monotonic() - started
        for line in text.outcome(replayer.tally, seconds, done, self._asked.dead_letters):
            self._output.text(line)
        return self._end(described, replayer.tally, replayer.positions, done, seconds)

    def _forget(self, plan: Plan) -> None:
        """What Kafka no longer keeps need not be remembered either."""
        tools = self._tools
        kept = tools.starter("looking up offsets", lambda: tools.reader.bounds(list(plan.ranges)))
        firsts = {partition: bounds.first for partition, bounds in kept.items()}
        tools.starter("forgetting old dead letters", lambda: tools.memory.forget(firsts))

    def _end(
        self,
        described: text.Described,
        tally: Tally,
        reached: Mapping[Partition, int],
        done: bool,
        seconds: float,
    ) -> ExitCode:
        """The envelope and the exit code of an execution."""
        is_ok = done and not tally.failed and not tally.refused
        self._result(described.as_json(reached, done), described.summary(tally, done, seconds), is_ok)
        if not done:
            return ExitCode.FORCED_INT
        return ExitCode.OK if is_ok else ExitCode.DIFFERS

    def _result(self, result: dict[str, Any], summary: dict[str, object], is_ok: bool) -> None:
        """For machines: the envelope, or a line per partition and one with the summary."""
        self._output.result(result, summary=summary, ok=is_ok)
        for partition in result["partitions"]:
            self._output.item(partition)
        self._output.item({"summary": summary})

    def _tell_rest(self, plan: Plan, replayer: Replayer) -> None:
        """How far it got, and the options that go on from there."""
        passed = _passed(plan, replayer)
        self._output.note(f"ended early, after {passed} of {plan.length} records; what was applied stays")
        if self._asked.dead_letters:
            self._output.note("the same command goes on with what still waits")
            return
        for option in text.rest(plan, replayer.positions):
            self._output.note(f"still to do: {option}")


def _passed(plan: Plan, replayer: Replayer) -> int:
    return sum(replayer.positions.get(p, first) - first for p, (first, _) in plan.ranges.items())
