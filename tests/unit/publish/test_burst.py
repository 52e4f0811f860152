"""What is held goes to the driver in order and whole, and nothing goes behind a record that could not."""

from __future__ import annotations

import pytest

from cdc_cli.publish.burst import Burst


class Report:
    def __init__(self) -> None:
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error


class Driver:
    def __init__(self) -> None:
        self.got: list[int] = []
        self.refuses: set[int] = set()

    def give(self, held: list[tuple[int, Report]]) -> None:
        while held:
            number = held[0][0]
            if number in self.refuses:
                raise OSError(f"no {number}")
            self.got.append(number)
            del held[0]


def filled(driver: Driver, count: int, size: int = 1) -> tuple[Burst[int, Report], list[Report]]:
    burst, reports = Burst(driver.give), [Report() for _ in range(count)]
    for number, report in enumerate(reports):
        burst.add(number, report, size)
    return burst, reports


def test_a_few_records_wait_until_they_are_pushed() -> None:
    driver = Driver()
    burst, _ = filled(driver, 3)
    assert driver.got == []
    burst.push()
    burst.push()
    assert driver.got == [0, 1, 2]


@pytest.mark.parametrize(("size", "given"), [(1, 1000), (1 << 18, 1200), (1 << 20, 1201), (5 << 20, 1201)])
def test_many_records_or_large_ones_are_given_to_the_driver_without_waiting(size: int, given: int) -> None:
    driver = Driver()
    filled(driver, 1201, size)
    assert driver.got == list(range(given))


def test_behind_a_record_that_could_not_be_given_nothing_is_until_it_is_cleared() -> None:
    driver = Driver()
    driver.refuses = {1}
    burst, reports = filled(driver, 3)
    burst.push()
    later = Report()
    burst.add(7, later, 1)
    burst.push()
    assert driver.got == [0]
    assert reports[0].error is None
    assert [str(report.error) for report in (*reports[1:], later)] == ["no 1"] * 3
    burst.clear()
    burst.add(8, Report(), 1)
    burst.push()
    assert driver.got == [0, 8]


def test_what_is_cleared_is_never_given() -> None:
    driver = Driver()
    burst, _ = filled(driver, 3)
    burst.clear()
    burst.push()
    assert driver.got == []
