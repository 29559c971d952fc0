"""A sensor that waits for what an earlier task bought, the same way in poke, reschedule and deferred mode."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_aiml.aws_task import AwsTask, deferrable_default
from airflow_provider_aiml.exceptions import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.sdk import Context

__all__ = ["WaitingSensor"]

MAX_FAULTS = 10
"""Looks in a row that may fail before the wait is given up."""
LONGEST_FAULT_PAUSE = 30.0
"""Seconds between two looks at most while AWS cannot be asked."""


class WaitingSensor(AwsTask, BaseSensorOperator):
    """Wait in any mode; what follows from a look (raise, skip, sleep, reschedule) is Airflow's own loop.

    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    """

    conclude_event: Callable[..., Any]
    """Give the result of a wait in the triggerer: a method of what knows the service."""

    def __init__(self, *, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self.started = 0.0

    @abstractmethod
    def begin(self, *, resumed: bool) -> None:
        """Read what to wait for.

        :param resumed: whether a reschedule goes on with an earlier wait.
        """

    @abstractmethod
    def look_at_all(self) -> bool:
        """Look once at what is still awaited; say whether some of it could not be asked for."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether there is nothing to wait for any more."""

    @property
    @abstractmethod
    def _several(self) -> bool:
        """Whether the result is a list."""

    @abstractmethod
    def outcome(self) -> Any:
        """Give the result, once the wait is over."""

    @abstractmethod
    def hand_over(self) -> NoReturn:
        """Leave the wait to the triggerer, by :attr:`schedule`, and :attr:`ends_at` to who goes on then."""

    def execute(self, context: Context) -> Any:
        """Begin, then look."""
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        self.started = first.timestamp() if first else time.time()
        with self.careful():
            self.begin(resumed=first is not None)
        try:
            return super().execute(context)
        except AirflowSensorTimeout as timeout:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from timeout
            raise AirflowSensorTimeout(self.explained(str(timeout))) from None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once at all that is still awaited; deferrable, leave the rest to the triggerer.

        While AWS cannot be asked, it is asked again from here, so that the faults in a row are counted in
        reschedule mode as well.
        """
        with self.careful():
            faulty = self.look_at_all()
            while faulty and not self.deferrable and not self.silent_fail:
                pause = min(self.poke_interval, LONGEST_FAULT_PAUSE)
                if time.time() + pause > self.ends_at:
                    return False
                time.sleep(pause)
                faulty = self.look_at_all()
            if self.over:
                return PokeReturnValue(True, self.outcome())
        if self.deferrable:
            self.hand_over()
        return False

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, ends_at: float | None = None
    ) -> Any:
        """Go on after the deferral.

        :param event: what the trigger said.
        :param ends_at: the end of the wait, in seconds since the epoch.
        """
        return self.conclude_deferred(lambda: self.conclude_event(event, several=self._several), ends_at)

    def conclude_deferred(self, conclude: Callable[[], Any], ends_at: float | None) -> Any:
        """Give the result after a deferral; with ``silent_fail`` a fault on the way to it is waited out.

        In the other modes Airflow's loop does so: it looks again until the sensor's own time is over.

        :param conclude: gives it, or raises.
        :param ends_at: the end of the wait as it was when it was deferred; None where that is not known.
        """
        with self.careful():
            try:
                return conclude()
            except InferenceError as error:
                if not (self.silent_fail and error.retryable):
                    raise
                self._defer_again(error, ends_at)

    def _defer_again(self, error: InferenceError, ends_at: float | None) -> NoReturn:
        self.started = time.time() if ends_at is None else ends_at - float(self.timeout)
        # What is awaited may be there already, so the triggerer would not pause.
        pause = min(self.poke_interval, LONGEST_FAULT_PAUSE)
        while True:
            self.log.error("There is no result yet, and silent_fail lets the wait go on: %s", error)
            if time.time() + pause > self.ends_at:
                raise self.overdue(error)
            time.sleep(pause)
            try:
                self.begin(resumed=True)
                self.hand_over()
            except InferenceError as again:
                if not again.retryable:
                    raise
                error = again

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the deferral, however it ended; the flags mean what they mean in the other modes."""
        with _flags_heeded(self):
            return super().resume_execution(next_method, next_kwargs, context)

    def overdue(self, error: InferenceError) -> Exception:
        """Time out as Airflow's sensors do."""
        message = f"Sensor has timed out; its timeout of {self.timeout} s is over."
        return AirflowSensorTimeout(f"{message} Hint: {error.hint}" if error.hint else message)

    def explained(self, message: str) -> str:
        """Add to a time-out's message what else is known of the wait."""
        return message

    @property
    def ends_at(self) -> float:
        """The end of the wait, in seconds since the epoch; reschedules included."""
        return self.started + float(self.timeout)

    @property
    def max_faults(self) -> int | None:
        """Looks in a row that may fail; None for any number."""
        return None if self.silent_fail else MAX_FAULTS

    @property
    def schedule(self) -> dict[str, Any]:
        """The trigger's arguments of when to look and when to give up."""
        return {
            "poll_interval": self.poke_interval,
            "timeout_at": self.ends_at,
            "exponential_backoff": self.exponential_backoff,
            "max_wait": self.max_wait.total_seconds() if self.max_wait else None,
            "max_faults": self.max_faults,
        }


@contextmanager
def _flags_heeded(sensor: BaseSensorOperator) -> Iterator[None]:
    """Resume a sensor: skip where ``never_fail`` or ``soft_fail`` asks for it.

    Airflow 3.1 does not know ``never_fail`` after a deferral, nor ``soft_fail`` where the deferral's own time
    limit passed; and no Airflow knows those of our errors that are none of its own.

    :raises AirflowSkipException: the wait failed, and the task shall not.
    """
    try:
        yield
    except AirflowSkipException:
        raise
    except (AirflowException, InferenceError) as error:
        if sensor.never_fail:
            raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
        if sensor.soft_fail and isinstance(error, AirflowSensorTimeout):
            raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
        raise
