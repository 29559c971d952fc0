"""Whose setting wins, and who retries."""

from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import AwsConfigurationError
from airflow_provider_aiml.hooks.client_config import ClientConfig, operator_config
from botocore import UNSIGNED
from botocore.config import Config


def merged(connection=None, operator=None):
    return ClientConfig.of_paid_calls(70, connection, operator)


def test_paid_calls_get_one_attempt_and_a_long_read_timeout():
    config = merged().config

    assert config.retries == {"total_max_attempts": 1, "mode": "standard"}
    assert config.read_timeout == 70
    assert config.tcp_keepalive is True


def test_the_connection_wins_over_our_defaults_and_the_operator_over_both():
    connection = Config(read_timeout=100, connect_timeout=3)
    operator = Config(read_timeout=200)

    assert merged(connection).config.read_timeout == 100
    assert merged(connection, operator).config.read_timeout == 200
    assert merged(connection, operator).config.connect_timeout == 3


def test_the_connection_s_proxies_survive_the_operator_s_config():
    connection = Config(proxies={"https": "http://proxy:3128"}, proxies_config={"proxy_ca_bundle": "/ca"})

    config = merged(connection, Config(read_timeout=9)).config

    assert config.proxies == {"https": "http://proxy:3128"}
    assert config.proxies_config == {"proxy_ca_bundle": "/ca"}


@pytest.mark.parametrize(
    ("retries", "bound"),
    [
        ({"max_attempts": 2}, 3),
        ({"max_attempts": 0}, 1),
        ({"total_max_attempts": 2}, 2),
        ({"total_max_attempts": 2, "max_attempts": 9}, 2),
        ({"mode": "adaptive"}, None),
    ],
)
def test_the_connection_s_retries_only_bound_our_own_attempts(retries, bound):
    settings = merged(Config(retries=retries))

    assert settings.attempts_bound == bound
    assert settings.botocore_attempts is None
    assert settings.config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize(
    ("retries", "attempts"),
    [({"max_attempts": 2}, 3), ({"total_max_attempts": 1}, 1), ({"mode": "adaptive"}, 0)],
)
def test_only_the_operator_s_retries_hand_retrying_back(retries, attempts):
    settings = merged(Config(retries={"max_attempts": 7}), Config(retries=retries))

    assert settings.botocore_attempts == attempts
    assert settings.config.retries == retries


@pytest.mark.parametrize("nothing", [{}, None], ids=["empty", "none"])
def test_empty_retries_of_the_operator_are_none_at_all(nothing):
    connection = Config(retries={"max_attempts": 7})
    operator = Config(retries=nothing, read_timeout=9)

    paid = merged(connection, operator)
    assert paid.config.retries == {"total_max_attempts": 1, "mode": "standard"}
    assert (paid.attempts_bound, paid.botocore_attempts) == (8, None)
    assert paid.config.read_timeout == 9
    assert ClientConfig.of_free_calls(connection, operator).config.retries == {"max_attempts": 7}


def test_clients_of_free_calls_keep_botocore_s_retries():
    settings = ClientConfig.of_free_calls(Config(retries={"max_attempts": 7}), Config(read_timeout=9))

    assert settings.config.retries == {"max_attempts": 7}
    assert settings.config.read_timeout == 9


@pytest.mark.parametrize(("given", "validates"), [({}, True), ({"parameter_validation": False}, False)])
def test_parameter_validation_says_whether_requests_are_checked(given, validates):
    assert merged(None, operator_config(given)).validates is validates


def test_a_dictionary_becomes_a_config():
    assert operator_config({"read_timeout": 9}).read_timeout == 9


def test_a_config_and_none_stay_what_they_are():
    config = Config()

    assert operator_config(config) is config
    assert operator_config(None) is None


def test_unsigned_is_understood_as_in_a_connection():
    assert operator_config({"signature_version": "unsigned"}).signature_version is UNSIGNED


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"read_timout": 9}, "read_timout"),
        ({"retries": {"max_attempts": -1}}, "InvalidMaxRetryAttemptsError"),
        ({"retries": 5}, "Error"),
        ("read_timeout=9", "str"),
    ],
)
def test_settings_that_botocore_does_not_take_are_refused(given, found):
    with pytest.raises(AwsConfigurationError) as raised:
        operator_config(given)

    assert raised.value.problems[0].field == "botocore_config"
    assert found in raised.value.problems[0].found
    assert raised.value.__context__ is None
