"""A claim is good on the server on which it was made, and nowhere else."""

from __future__ import annotations

import pytest

from cdc_cli.apply import Rewound
from cdc_cli.apply.claims import Claim, Claims, Server
from cdc_cli.consume import Partition

P, Q = Partition("topic", 0), Partition("topic", 1)
OLD, NEW = Server("monday", 1), Server("tuesday", 1)


def test_everything_claimed_elsewhere_is_told_at_once() -> None:
    claims = Claims()
    claims.made({P: Claim(OLD, 1, 5), Q: Claim(OLD, 1, 5)})
    claims.check(OLD, [P, Q])
    with pytest.raises(Rewound) as caught:
        claims.check(NEW, [P])
    assert caught.value.partitions == {P, Q}
    claims.made({P: Claim(NEW, 1, 5)})
    claims.check(NEW, [P])
    with pytest.raises(Rewound) as caught:
        claims.check(NEW, [P, Q])
    assert caught.value.partitions == {Q}


def test_the_same_database_in_the_same_server_only() -> None:
    claims = Claims()
    claims.made({P: Claim(OLD, 1, 5)})
    with pytest.raises(Rewound):
        claims.check(OLD._replace(database=2), [P])


def test_what_was_never_claimed_here_is_for_the_database_to_judge() -> None:
    Claims().check(OLD, [P])
    assert Claims().of([P]) == [None]


def test_a_claim_in_another_place_or_after_the_database_went_back_is_told_as_a_change() -> None:
    claims = Claims()
    assert claims.made({P: Claim(OLD, 1, 5)})
    assert not claims.made({Q: Claim(OLD, 1, 5)})
    assert claims.made({P: Claim(OLD, 2, 5)})
    assert claims.made({P: Claim(NEW, 2, 5)})
    assert claims.void().partitions == {P, Q}
    assert claims.made({P: Claim(NEW, 2, 5)})
    assert not claims.made({P: Claim(NEW, 2, 5)})


def test_what_was_stored_is_what_the_ledger_has_to_have_the_next_time() -> None:
    claims = Claims()
    claims.made({P: Claim(OLD, 1, 5)})
    claims.stored({P: 9, Q: 9})
    assert claims.of([P, Q]) == [Claim(OLD, 1, 9), None]
