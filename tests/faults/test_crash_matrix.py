"""A part of the crash matrix: what CI can afford. `python -m tests.faults.crash_matrix` runs all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.crash_matrix import Case, Matrix, all_cases
from tests.faults.longrun.site import Site
from tests.support.topics import Topics

CHOSEN = [
    Case("capture.after_read", "kill"),
    Case("publish.after_send", "kill"),
    Case("publish.before_send", "fail"),
    Case("publish.after_ack", "raise"),
    Case("token.after_save", "fail"),
    Case("token_file.after_fsync", "kill"),
    Case("token_redis.after_save", "kill"),
    Case("watch.before_flush", "kill"),
    Case("apply.before_commit", "hang"),
    Case("apply.after_commit", "kill"),
    Case("apply.after_commit", "fail"),
    Case("offsets.after_store", "kill"),
    Case("sync.before_seek", "fail"),
    Case("dead_letter.after_publish", "kill"),
]


@pytest.mark.requirement("R2.5", "R8.1", "R8.2", "R9.4", "R12.5")
@pytest.mark.timeout(900)
def test_a_process_that_dies_fails_or_hangs_at_a_durable_step_loses_nothing(site: Site, tmp_path: Path) -> None:
    cases = all_cases() if os.environ.get("CDC_TEST_WHOLE_MATRIX") else CHOSEN
    with Topics(site.kafka.bootstrap) as topics:
        report = Matrix(site, topics, tmp_path, print).run(cases)
    assert not report.failures, report.table(len(cases))
    assert len(report.struck) == len(cases)
