"""What a sensor's flags make of the end of a deferral, the same on every Airflow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_aiml.exceptions import InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import BaseSensorOperator


@contextmanager
def flags_heeded(sensor: BaseSensorOperator) -> Iterator[None]:
    """Resume a sensor: skip where ``never_fail`` or ``soft_fail`` asks for it.

    Airflow 3.1 does not know ``never_fail`` after a deferral, nor ``soft_fail`` where the deferral's own time
    limit passed; and no Airflow knows those of our errors that are none of its own.

    :param sensor: the sensor, for its flags.
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
