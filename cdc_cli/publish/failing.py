"""A publisher with failpoints before and after every record; the wiring uses it only when one of them is armed."""

from __future__ import annotations

from cdc_cli import failpoints
from cdc_cli.errors import CdcError
from cdc_cli.publish import Delivery, Publisher, Record

POINTS = ("publish.before_send", "publish.after_send")


class FailingPublisher:
    """Passes everything on to another publisher."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def start(self) -> None:
        self._publisher.start()

    def send(self, record: Record) -> Delivery:
        failpoints.hit("publish.before_send")
        delivery = self._publisher.send(record)
        failpoints.hit("publish.after_send")
        return delivery

    def explain(self, exception: BaseException) -> CdcError:
        return self._publisher.explain(exception)

    def poll(self) -> None:
        self._publisher.poll()

    def flush(self, timeout: float) -> bool:
        return self._publisher.flush(timeout)

    def rotate(self) -> None:
        self._publisher.rotate()

    def close(self, timeout: float) -> None:
        self._publisher.close(timeout)
