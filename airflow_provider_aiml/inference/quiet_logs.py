"""Keep payloads out of debug logs: AWS's libraries write whole requests and answers at DEBUG.

While a block of :func:`quiet_libraries` runs, DEBUG records that those libraries write *from the same thread
or task* are dropped, for every handler; other threads' and tasks' records stay. A filter of :mod:`logging`
holds for one logger and not for its children, so one is put on each logger that these libraries have or may
yet create: their loggers carry the names of their modules, which can be listed without importing them. Where
DEBUG is off,
:mod:`logging` never makes the record and this costs nothing.
"""

from __future__ import annotations

import logging
import pkgutil
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["quiet_libraries"]

LIBRARIES = ("botocore", "aiobotocore", "boto3", "urllib3", "aiohttp")
FIXED_NAMES = ("aiohttp.client", "aiohttp.internal", "aiohttp.web", "aiohttp.websocket")
"""Logger names of these libraries that are no module's name."""

_quiet: ContextVar[bool] = ContextVar("airflow_provider_aiml_quiet_libraries", default=False)


class _DropDebugWhileQuiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or not _quiet.get()


_filter = _DropDebugWhileQuiet()


@contextmanager
def quiet_libraries(quiet: bool = True) -> Iterator[None]:
    """Drop the DEBUG records that AWS's libraries write from this thread or task while the block runs.

    :param quiet: False changes nothing, for who wants to see payloads.
    """
    if not quiet:
        yield
        return
    _watch_loggers()
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@cache
def _watch_loggers() -> None:
    """Put the filter on each logger of the libraries, once in a process."""
    for name in {*_module_names(LIBRARIES), *_logger_names(LIBRARIES), *FIXED_NAMES}:
        logging.getLogger(name).addFilter(_filter)


def _logger_names(libraries: Iterable[str]) -> Iterator[str]:
    prefixes = tuple(f"{library}." for library in libraries)
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith(prefixes):
            yield name


def _module_names(libraries: Iterable[str]) -> Iterator[str]:
    for library in libraries:
        spec = find_spec(library)
        if spec is not None:
            yield library
            yield from _submodules(library, spec.submodule_search_locations or ())


def _submodules(package: str, locations: Iterable[str]) -> Iterator[str]:
    for module in pkgutil.iter_modules(locations):
        name = f"{package}.{module.name}"
        yield name
        if module.ispkg:
            yield from _submodules(name, [f"{location}/{module.name}" for location in locations])
