"""The simulated threads keep the promises of real ones."""

from __future__ import annotations

from queue import Empty

import pytest

from tests.faults.simulation.scheduler import OutOfSteps, Process, Scheduler
from tests.faults.simulation.threads import Threading


def run(scheduler: Scheduler, seconds: float = 100.0) -> None:
    scheduler.run(lambda: False, seconds)


def test_a_sleeper_wakes_at_his_time_and_others_run_meanwhile() -> None:
    scheduler, said = Scheduler(1, 1000), []
    process = Process(scheduler, "p")
    process.spawn("late", lambda: (scheduler.sleep(2), said.append(("late", scheduler.now))))
    process.spawn("soon", lambda: (scheduler.sleep(1), said.append(("soon", scheduler.now))))
    run(scheduler)
    assert said == [("soon", 1.0), ("late", 2.0)]


def test_an_event_wakes_all_who_wait_and_a_wait_that_is_over_tells() -> None:
    scheduler, said = Scheduler(1, 1000), []
    event = Threading(scheduler).Event()
    process = Process(scheduler, "p")
    for timeout in (None, 50.0, 0.1):
        process.spawn(f"{timeout}", lambda timeout=timeout: said.append((timeout, event.wait(timeout))))
    process.spawn("setter", lambda: (scheduler.sleep(5), event.set()))
    run(scheduler)
    assert sorted(said, key=str) == [(0.1, False), (50.0, True), (None, True)]


def test_only_one_holds_a_lock_whatever_the_seed() -> None:
    for seed in range(30):
        scheduler, inside, most = Scheduler(seed, 10_000), [0], [0]
        lock = Threading(scheduler).Lock()
        process = Process(scheduler, "p")

        def work(scheduler=scheduler, lock=lock, inside=inside, most=most) -> None:
            for _ in range(5):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    scheduler.sleep(0.01)
                    inside[0] -= 1

        tasks = [process.spawn(str(number), work) for number in range(4)]
        run(scheduler)
        assert most == [1]
        assert all(task.greenlet.dead for task in tasks)


def test_a_condition_lets_go_of_its_lock_while_it_waits() -> None:
    scheduler, said = Scheduler(1, 1000), []
    condition = Threading(scheduler).Condition()
    process = Process(scheduler, "p")

    def wait() -> None:
        with condition:
            said.append(condition.wait(30))

    def tell() -> None:
        scheduler.sleep(1)
        with condition:
            condition.notify()

    process.spawn("waiter", wait)
    process.spawn("teller", tell)
    run(scheduler)
    assert said == [True]


def test_a_queue_hands_over_in_order_and_gives_up_in_time() -> None:
    scheduler, said = Scheduler(1, 1000), []
    queue = Threading(scheduler).SimpleQueue()
    process = Process(scheduler, "p")

    def take() -> None:
        said.extend([queue.get(), queue.get(timeout=5)])
        with pytest.raises(Empty):
            queue.get(timeout=0.5)
        said.append("empty")

    process.spawn("taker", take)
    process.spawn("giver", lambda: (scheduler.sleep(1), queue.put(1), queue.put(2)))
    run(scheduler)
    assert said == [1, 2, "empty"]


def test_a_killed_process_does_nothing_any_more_and_the_others_go_on() -> None:
    scheduler, said = Scheduler(1, 1000), []
    victim, other = Process(scheduler, "victim"), Process(scheduler, "other")

    def work() -> None:
        try:
            scheduler.sleep(10)
            said.append("not killed")
        finally:
            scheduler.sleep(1)
            said.append("cleaned up")

    victim.spawn("work", work)
    other.spawn("killer", lambda: (scheduler.sleep(1), victim.kill(), said.append("killed")))
    run(scheduler)
    assert said == ["killed"]


def test_a_process_can_be_killed_from_inside() -> None:
    scheduler, said = Scheduler(1, 1000), []
    process = Process(scheduler, "p")
    process.spawn("sleeper", lambda: (scheduler.sleep(5), said.append("sleeper")))
    process.spawn("killer", lambda: (scheduler.sleep(1), process.kill(), said.append("killer")))
    run(scheduler)
    assert said == []


def test_a_stalled_process_goes_on_where_it_was() -> None:
    scheduler, said = Scheduler(1, 1000), []
    process = Process(scheduler, "p")
    process.spawn("work", lambda: (scheduler.sleep(1), said.append(scheduler.now)))
    process.stalled_until = 20.0
    run(scheduler)
    assert said == [21.0]


def test_what_spins_is_stopped() -> None:
    scheduler = Scheduler(1, 500)

    def spin() -> None:
        while True:
            scheduler.sleep(0)

    Process(scheduler, "p").spawn("spin", spin)
    with pytest.raises(OutOfSteps):
        run(scheduler)
