"""No payload in debug logs while a call runs, and no other record lost."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from airflow_provider_aiml.inference.quiet_logs import _logger_names, _module_names, quiet_libraries

LOGGERS = [
    "botocore",
    "botocore.endpoint",
    "botocore.parsers",
    "aiobotocore.endpoint",
    "urllib3.connectionpool",
]


@pytest.fixture
def capture(caplog):
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("name", LOGGERS)
def test_debug_records_of_the_libraries_are_dropped_for_handlers_at_the_root(capture, name):
    with quiet_libraries():
        logging.getLogger(name).debug("canary")

    assert not capture.records


def test_other_levels_and_other_loggers_are_kept(capture):
    capture.set_level(logging.DEBUG, logger="mine")

    with quiet_libraries():
        logging.getLogger("botocore.endpoint").info("found credentials")
        logging.getLogger("mine").debug("mine")

    assert [record.getMessage() for record in capture.records] == ["found credentials", "mine"]


def test_records_before_and_after_are_kept(capture):
    log = logging.getLogger("botocore.endpoint")
    log.debug("before")
    with quiet_libraries(), quiet_libraries():
        log.debug("canary")
    log.debug("after")

    assert [record.getMessage() for record in capture.records] == ["before", "after"]


def test_who_wants_to_see_payloads_sees_them(capture):
    with quiet_libraries(False):
        logging.getLogger("botocore.endpoint").debug("payload")

    assert len(capture.records) == 1


def test_records_of_another_thread_are_kept(capture):
    with quiet_libraries():
        thread = threading.Thread(target=logging.getLogger("botocore.endpoint").debug, args=("other",))
        thread.start()
        thread.join()

    assert [record.getMessage() for record in capture.records] == ["other"]


async def test_records_of_another_task_are_kept_and_of_one_s_own_children_dropped(capture):
    log = logging.getLogger("aiobotocore.endpoint")
    entered, said = asyncio.Event(), asyncio.Event()

    async def call():
        with quiet_libraries():
            entered.set()
            await said.wait()
            await asyncio.create_task(asyncio.to_thread(log.debug, "canary"))

    task = asyncio.create_task(call())
    await entered.wait()
    log.debug("other")
    said.set()
    await task

    assert [record.getMessage() for record in capture.records] == ["other"]


def test_modules_that_are_not_imported_yet_are_watched_too():
    names = set(_module_names(["botocore", "no_such_library"]))

    assert {"botocore", "botocore.retries.adaptive", "botocore.crt.auth"} <= names
    assert "no_such_library" not in names


def test_loggers_that_bear_no_module_s_name_are_found():
    logging.getLogger("botocore.named.by.hand")

    assert "botocore.named.by.hand" in _logger_names(["botocore"])
