"""Connections, regions, settings and clients of the hooks."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    AwsConfigurationError,
    BusyError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks.aws_client import S3Hook, _renew_in_thread
from airflow_provider_aiml.hooks.bedrock_runtime import BedrockRuntimeHook
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from botocore import UNSIGNED
from botocore.config import Config

ONE = {"retry_args": {"attempts": 1}}


def invoke(hook):
    return hook.invoke_endpoint(endpoint_name="e", body=b"x")


async def ainvoke(hook):
    return await hook.ainvoke_endpoint(endpoint_name="e", body=b"x")


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Invoke the endpoint, or do so on an event loop of its own."""
    return invoke if request.param == "sync" else lambda hook: asyncio.run(ainvoke(hook))


@pytest.mark.parametrize(("hook_class", "seconds"), [(SageMakerRuntimeHook, 70), (BedrockRuntimeHook, 3600)])
def test_clients_wait_as_long_as_a_model_may_take_and_send_once(connect, hook_class, seconds):
    config = hook_class(connect()).conn.meta.config

    assert config.read_timeout == seconds
    assert config.retries["total_max_attempts"] == 1


def test_environment_variables_do_not_bring_botocore_s_retries_back(connect, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    monkeypatch.setenv("AWS_RETRY_MODE", "legacy")

    assert SageMakerRuntimeHook(connect()).conn.meta.config.retries["total_max_attempts"] == 1


def test_the_connection_s_settings_survive_the_operator_s(connect):
    proxies = {"https": "http://127.0.0.1:3128"}
    conn_id = connect(config_kwargs={"proxies": proxies, "read_timeout": 99})

    config = SageMakerRuntimeHook(conn_id, config={"connect_timeout": 2}).conn.meta.config

    assert (config.proxies, config.read_timeout, config.connect_timeout) == (proxies, 99, 2)


def test_amazon_s_user_agent_is_kept(connect, wire):
    invoke(SageMakerRuntimeHook(connect()))

    assert "Airflow/" in wire.requests[0].headers["User-Agent"]


def test_a_config_object_is_taken_too(connect):
    assert SageMakerRuntimeHook(connect(), config=Config(read_timeout=5)).conn.meta.config.read_timeout == 5


def test_a_client_can_be_made_with_other_settings(connect):
    client = SageMakerRuntimeHook(connect()).get_client_type("us-west-2", Config(read_timeout=5))

    assert (client.meta.region_name, client.meta.config.read_timeout) == ("us-west-2", 5)


def test_keys_session_token_and_region_of_the_connection_sign_the_request(call, connect, wire):
    call(SageMakerRuntimeHook(connect(aws_session_token="token-1")))

    headers = wire.requests[0].headers
    assert "Credential=AKIATESTTESTTEST/" in headers["Authorization"]
    assert "/eu-west-1/sagemaker/" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "token-1"


def test_the_region_argument_wins_over_the_connection_s(call, connect, wire):
    call(SageMakerRuntimeHook(connect(), region_name="us-east-2"))

    assert "/us-east-2/" in wire.requests[0].headers["Authorization"]


def test_unsigned_requests_are_possible(call, connect, wire):
    hook = SageMakerRuntimeHook(connect(config_kwargs={"signature_version": "unsigned"}))

    call(hook)

    assert hook.client_config.config.signature_version is UNSIGNED
    assert "Authorization" not in wire.requests[0].headers


def test_no_connection_takes_the_default_chain(call, wire, monkeypatch):
    for name, value in (
        ("ACCESS_KEY_ID", "AKIAENV"),
        ("SECRET_ACCESS_KEY", "s"),
        ("DEFAULT_REGION", "eu-west-3"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)

    call(SageMakerRuntimeHook(None))

    assert "Credential=AKIAENV/" in wire.requests[0].headers["Authorization"]
    assert "/eu-west-3/" in wire.requests[0].headers["Authorization"]


def test_a_missing_aws_default_takes_the_default_chain_and_says_so(call, wire, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)

    call(SageMakerRuntimeHook(region_name="eu-west-3"))

    assert "Credential=AKIAENV/" in wire.requests[0].headers["Authorization"]
    assert "default chain" in caplog.text


def test_any_other_missing_connection_is_an_error_and_never_another_identity(call, wire, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)

    with pytest.raises(AwsConfigurationError, match="no_such_connection"):
        call(SageMakerRuntimeHook("no_such_connection", region_name="eu-west-3"))
    assert not wire.requests


@pytest.mark.parametrize("nothing", ["", " "])
def test_an_empty_connection_id_is_an_error_and_never_the_default_chain(call, wire, monkeypatch, nothing):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)

    with pytest.raises(AwsConfigurationError, match="aws_conn_id: is an empty text") as raised:
        call(SageMakerRuntimeHook(nothing, region_name="eu-west-3"))

    assert "aws_conn_id=None" in raised.value.hint
    assert not wire.requests


def test_half_a_key_pair_is_an_error(call, wire, monkeypatch):
    half = {
        "conn_type": "aws",
        "login": "AKIA",
        "extra": {"region_name": "eu-west-1", "endpoint_url": wire.url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_HALF", json.dumps(half))

    with pytest.raises(AwsConfigurationError, match="login and password"):
        call(SageMakerRuntimeHook("half"))
    assert not wire.requests


@pytest.mark.parametrize(
    "extra",
    [
        {"config_kwargs": {"no_such_option": 1}},
        {"config_kwargs": "read_timeout=9"},
        {"role_arn": "arn:aws:iam::1:role/x", "assume_role_method": "by_magic"},
    ],
    ids=str,
)
def test_an_extra_that_cannot_be_used_is_an_error_of_ours(call, connect, extra):
    with pytest.raises(AwsConfigurationError, match="extra") as raised:
        call(SageMakerRuntimeHook(connect("odd", **extra)))
    assert raised.value.__context__ is None


def test_no_region_anywhere_names_where_to_set_it(call, connect):
    with pytest.raises(AwsConfigurationError) as raised:
        call(SageMakerRuntimeHook(connect(region_name=None)))
    assert "region_name" in raised.value.hint


def test_no_credentials_anywhere_are_an_error_of_ours(call, wire, monkeypatch):
    extra = {"region_name": "eu-west-1", "endpoint_url": wire.url}
    monkeypatch.setenv("AIRFLOW_CONN_BARE", json.dumps({"conn_type": "aws", "extra": extra}))

    with pytest.raises(AwsConfigurationError, match="credentials"):
        call(SageMakerRuntimeHook("bare"))
    assert not wire.requests


def test_a_profile_that_does_not_exist_is_an_error_of_ours(call, connect):
    with pytest.raises(AwsConfigurationError, match="profile"):
        call(SageMakerRuntimeHook(connect("prof", profile_name="nobody")))


def test_a_profile_s_keys_sign_the_request(call, wire, monkeypatch, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.write_text("[ml]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    extra = {"region_name": "eu-west-1", "endpoint_url": wire.url, "profile_name": "ml"}
    monkeypatch.setenv("AIRFLOW_CONN_PROF", json.dumps({"conn_type": "aws", "extra": extra}))

    call(SageMakerRuntimeHook("prof"))

    assert "Credential=AKIAPROFILE/" in wire.requests[0].headers["Authorization"]


@pytest.mark.parametrize("url", ["not a url", "ftp:/nowhere"])
def test_an_endpoint_url_that_is_none_is_an_error_of_ours(call, connect, url):
    with pytest.raises(AwsConfigurationError, match="failed"):
        call(SageMakerRuntimeHook(connect("url", endpoint_url=url), **ONE))


STS_ANSWER = """<{name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{name}Result><Credentials>
<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>role-token</SessionToken>
<Expiration>{expires}</Expiration></Credentials></{name}Result></{name}Response>"""


def sts_answer(reply, name="AssumeRole", minutes=60):
    expires = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return reply(STS_ANSWER.format(name=name, expires=expires).encode(), headers={"Content-Type": "text/xml"})


@pytest.fixture
def role(connect, wire):
    extra = {
        "role_arn": "arn:aws:iam::123456789012:role/ml",
        "service_config": {"sts": {"endpoint_url": wire.url}},
    }
    return lambda **more: connect("role", **{**extra, **more})


def test_an_assumed_role_signs_the_request(call, role, wire, reply):
    wire.reply(sts_answer(reply))

    call(SageMakerRuntimeHook(role()))

    sts, invocation = wire.requests
    assert b"Action=AssumeRole" in sts.body
    assert "Credential=ASIAROLE/" in invocation.headers["Authorization"]
    assert invocation.headers["X-Amz-Security-Token"] == "role-token"


def test_a_web_identity_signs_the_request(call, role, wire, reply, tmp_path):
    (tmp_path / "token").write_text("web-token")
    wire.reply(sts_answer(reply, "AssumeRoleWithWebIdentity"))

    call(
        SageMakerRuntimeHook(
            role(
                assume_role_method="assume_role_with_web_identity",
                assume_role_with_web_identity_federation="file",
                assume_role_with_web_identity_token_file=str(tmp_path / "token"),
            )
        )
    )

    assert b"WebIdentityToken=web-token" in wire.requests[0].body
    assert "Credential=ASIAROLE/" in wire.requests[1].headers["Authorization"]


def test_a_role_that_may_not_be_assumed_is_an_error_of_ours(call, role, wire, reply):
    error = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    wire.reply(reply(error, 403, {"Content-Type": "text/xml"}))

    with pytest.raises(AccessDeniedError) as raised:
        call(SageMakerRuntimeHook(role()))
    assert "sts:AssumeRole" in raised.value.hint


@pytest.mark.parametrize("broken", ["hanging", "reset"])
def test_sts_that_does_not_answer_means_that_nothing_was_sent(call, role, wire, reply, broken):
    wire.default = wire.hang() if broken == "hanging" else reply(reset=True)
    hook = SageMakerRuntimeHook(role(config_kwargs={"read_timeout": 0.2, "retries": {"max_attempts": 0}}))

    with pytest.raises(BusyError, match="nothing was sent") as raised:
        call(hook)

    assert not raised.value.may_have_been_billed
    assert "STS" in raised.value.hint
    assert wire.requests
    assert all(b"AssumeRole" in request.body for request in wire.requests)


def test_a_renewal_that_fails_means_that_nothing_was_sent(call, role, wire, reply):
    wire.reply(sts_answer(reply, minutes=1))
    wire.default = reply(reset=True)
    hook = SageMakerRuntimeHook(role(config_kwargs={"retries": {"max_attempts": 0}}), **ONE)

    with pytest.raises(BusyError, match="nothing was sent") as raised:
        call(hook)

    assert not raised.value.may_have_been_billed
    assert all(b"AssumeRole" in request.body for request in wire.requests)


def test_a_call_that_left_after_a_renewal_may_have_been_billed(role, wire, reply):
    wire.reply(sts_answer(reply, minutes=1), sts_answer(reply, minutes=1), reply(reset=True))
    hook = SageMakerRuntimeHook(role(), **ONE)

    with pytest.raises(UnknownOutcomeError):
        invoke(hook)

    assert [b"AssumeRole" in request.body for request in wire.requests] == [True, True, False]


@pytest.mark.parametrize(
    "settings", [{"verify": "/no/such.pem"}, {"config": {"client_cert": "/no/such.pem"}}]
)
def test_a_tls_file_that_is_not_there_is_an_error_of_ours(call, connect, wire, settings):
    conn_id = connect(endpoint_url=wire.url.replace("http:", "https:"))

    with pytest.raises(AwsConfigurationError) as raised:
        call(SageMakerRuntimeHook(conn_id, **ONE, **settings))

    assert not raised.value.may_have_been_billed
    assert "verify" in raised.value.hint
    assert not wire.requests


def test_sts_keeps_the_connection_s_own_settings(role, wire, reply):
    wire.reply(sts_answer(reply))

    invoke(SageMakerRuntimeHook(role(config_kwargs={"user_agent_extra": "mine/1"})))

    assert "mine/1" in wire.requests[0].headers["User-Agent"]


class HeldByTheLoop(threading.Event):
    """Holds an answer back until the event loop runs on."""

    was_released = False

    def wait(self, timeout=None):
        self.was_released = super().wait(30)
        return self.was_released


async def test_an_assumed_role_renews_itself_off_the_event_loop(role, wire, reply):
    renewal = HeldByTheLoop()
    wire.reply(sts_answer(reply, minutes=1), replace(sts_answer(reply), hold=renewal))
    hook = SageMakerRuntimeHook(role())

    async def release():
        while len(wire.requests) < 2:
            await asyncio.sleep(0.01)
        renewal.set()

    async with hook.aclient():
        await asyncio.gather(ainvoke(hook), release())
        await ainvoke(hook)

    actions = [b"AssumeRole" in request.body for request in wire.requests]
    assert actions == [True, True, False, False]
    assert renewal.was_released


async def test_a_renewal_runs_in_another_thread():
    threads = []

    class Credentials:
        _refresh_using = staticmethod(lambda: threads.append(threading.current_thread()))

    credentials = Credentials()
    _renew_in_thread(credentials)
    await credentials._refresh_using()

    assert threads[0] is not threading.current_thread()


def test_a_renewal_that_is_a_coroutine_already_is_left_alone():
    async def renew():
        return {}

    class Credentials:
        _refresh_using = staticmethod(renew)

    credentials = Credentials()
    _renew_in_thread(credentials)
    _renew_in_thread(None)

    assert credentials._refresh_using is renew


async def test_the_event_loop_never_reads_a_connection_synchronously(connect, monkeypatch):
    hook = SageMakerRuntimeHook(connect())
    loop_thread = threading.current_thread()
    readers = []
    original = SageMakerRuntimeHook._wrap
    monkeypatch.setattr(hook, "get_connection", lambda *_: pytest.fail("read synchronously"))
    monkeypatch.setattr(
        hook, "_wrap", lambda found: readers.append(threading.current_thread()) or original(hook, found)
    )

    await ainvoke(hook)
    await ainvoke(hook)

    assert len(readers) == 1
    assert readers[0] is not loop_thread


async def test_calls_that_overlap_share_one_client(connect, wire):
    hook = SageMakerRuntimeHook(connect())
    async with hook.aclient() as first, hook.aclient() as second:
        await asyncio.gather(*(ainvoke(hook) for _ in range(5)))
        assert first is second

    assert len(wire.requests) == 5
    assert not hook._lent


def test_each_event_loop_gets_a_client_of_its_own(connect, wire):
    hook = SageMakerRuntimeHook(connect())
    clients = set()

    async def use():
        async with hook.aclient() as client:
            clients.add(client)
            await asyncio.gather(ainvoke(hook), ainvoke(hook))

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(clients) == 2
    assert len(wire.requests) == 4
    assert not hook._lent


async def test_a_client_that_could_not_be_made_can_be_asked_for_again(connect, monkeypatch):
    hook = SageMakerRuntimeHook(connect(region_name=None))
    with pytest.raises(AwsConfigurationError):
        await ainvoke(hook)

    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    assert (await ainvoke(hook))["Body"] == b'{"ok": true}'


def test_s3_is_asked_through_the_same_connection(connect, wire, reply):
    hook = SageMakerRuntimeHook(connect(), region_name="us-east-2", config={"read_timeout": 9})
    invoke(hook)

    client = hook.s3_client()

    assert (client.meta.endpoint_url, client.meta.region_name) == (wire.url, "us-east-2")
    assert client.meta.config.read_timeout == 9
    assert client.meta.config.retries.get("total_max_attempts") != 1
    assert hook.s3_client() is client


def test_s3_may_have_an_endpoint_of_its_own(connect):
    hook = SageMakerRuntimeHook(connect(service_config={"s3": {"endpoint_url": "http://127.0.0.1:9"}}))

    assert hook.s3_client().meta.endpoint_url == "http://127.0.0.1:9"


async def test_s3_is_opened_on_an_event_loop_and_closed_again(connect, wire, reply):
    wire.reply(reply(b"", headers={"ETag": "e"}))
    hook = BedrockRuntimeHook(connect())

    async with hook.aopen_s3_client() as client:
        head = await client.head_object(Bucket="bucket", Key="key")

    assert head["ETag"] == "e"
    assert wire.requests[0].method == "HEAD"


def test_s3_beside_a_hook_reads_the_connection_itself_where_it_was_not_read(connect):
    assert S3Hook.beside(SageMakerRuntimeHook(connect())).conn.meta.region_name == "eu-west-1"


def test_bedrock_s_hook_is_amazon_s_own():
    from airflow.providers.amazon.aws.hooks.bedrock import BedrockRuntimeHook as AmazonBedrockRuntimeHook

    assert issubclass(BedrockRuntimeHook, AmazonBedrockRuntimeHook)
