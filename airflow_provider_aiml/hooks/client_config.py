"""Whose botocore setting wins: our defaults, under the connection's ``config_kwargs``, under the operator's
own.

Retries are the exception, for a retry may buy an inference again: those of the connection only bound our own
attempts (:mod:`airflow_provider_aiml.inference.retry`), and only the operator's hand retrying back to
botocore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from airflow_provider_aiml.exceptions import AwsConfigurationError, Problem

__all__ = ["ClientConfig", "operator_config"]

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection; one that is not established is tried again, so more gains nothing."""
POOL_CONNECTIONS = 64
"""Connections that one client keeps open: as many records as are sent at once in a fan-out."""
ONE_ATTEMPT: Any = {"total_max_attempts": 1, "mode": "standard"}


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The settings of one client, and who retries.

    :param config: botocore's settings, merged.
    :param attempts_bound: attempts that the connection allows us at most; None where it says nothing.
    :param botocore_attempts: attempts that botocore makes by the operator's wish; None where we retry. 0
        where the operator named a mode only, and the number is botocore's default.
    """

    config: Config
    attempts_bound: int | None = None
    botocore_attempts: int | None = None

    @classmethod
    def of_paid_calls(
        cls, read_timeout: float, connection: Config | None, operator: Config | None
    ) -> ClientConfig:
        """Merge the settings of a client whose calls cost money.

        :param read_timeout: our default, in seconds.
        :param connection: the connection's ``config_kwargs``.
        :param operator: the operator's ``botocore_config``.
        """
        merged = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=read_timeout,
            max_pool_connections=POOL_CONNECTIONS,
            tcp_keepalive=True,
        )
        merged = _merged(merged, connection)
        merged = merged.merge(Config(retries=ONE_ATTEMPT.copy()))
        merged = _merged(merged, operator)
        handed_back = _retries(operator)
        return cls(
            merged,
            attempts_bound=_total_attempts(_retries(connection)),
            botocore_attempts=_total_attempts(handed_back) or 0 if handed_back else None,
        )

    @classmethod
    def of_free_calls(cls, connection: Config | None, operator: Config | None) -> ClientConfig:
        """Merge the settings of a client whose calls cost next to nothing: botocore's own retries hold."""
        merged = Config(connect_timeout=CONNECT_TIMEOUT)
        return cls(_merged(_merged(merged, connection), operator))

    @property
    def validates(self) -> bool:
        """Whether requests are to be checked at all: ``parameter_validation``."""
        return bool(getattr(self.config, "parameter_validation", True))


def operator_config(given: Mapping[str, Any] | Config | None) -> Config | None:
    """Read the operator's ``botocore_config``.

    :param given: options of ``botocore.config.Config``, or such an object; ``signature_version`` may be
        ``"unsigned"``, as in a connection.
    :raises AwsConfigurationError: botocore does not know an option or refuses its value.
    """
    if given is None or isinstance(given, Config):
        return given
    if not isinstance(given, Mapping):
        raise _refused(f"a {type(given).__name__}")
    options = dict(given)
    if options.get("signature_version") == "unsigned":
        options["signature_version"] = UNSIGNED
    try:
        return Config(**options)
    except (BotoCoreError, TypeError, ValueError, AttributeError) as error:
        unknown = sorted(str(key) for key in options if key not in Config.OPTION_DEFAULTS)
        found = f"unknown options {', '.join(unknown)}" if unknown else f"refused ({type(error).__name__})"
    raise _refused(found)


def _merged(under: Config, over: Config | None) -> Config:
    """Merge two settings; ``retries`` that say nothing do not replace those that do."""
    if over is None:
        return under
    merged = under.merge(over)
    if _retries(over):
        return merged
    kept: Any = dict(_retries(under)) or None
    return merged.merge(Config(retries=kept))


def _refused(found: str) -> AwsConfigurationError:
    allowed = "options of botocore.config.Config"
    return AwsConfigurationError(
        "botocore's settings cannot be used",
        problems=(Problem("botocore_config", found, allowed),),
        hint="https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html",
    )


def _retries(config: Config | None) -> Mapping[str, Any]:
    return getattr(config, "retries", None) or {}


def _total_attempts(retries: Mapping[str, Any]) -> int | None:
    """Count attempts in all; ``max_attempts`` of a client's config counts the retries only."""
    if (total := retries.get("total_max_attempts")) is not None:
        return int(total)
    if (again := retries.get("max_attempts")) is not None:
        return int(again) + 1
    return None
