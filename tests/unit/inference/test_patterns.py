"""Every pattern of both runtime services compiles, and accepts and refuses what its reader would."""

from __future__ import annotations

import logging
import re
import warnings

import pytest
from airflow_provider_aiml.inference.patterns import UntranslatableError, compile_pattern, translate
from botocore.loaders import create_loader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ARN = "arn:aws:bedrock:us-east-1:123456789012"
ID12 = "abcdefghij12"

# What the patterns have to say to plain examples: the pattern, or behind an ellipsis a piece of it.
EXAMPLES: list[tuple[str, list[str], list[str]]] = [
    (r"\p{ASCII}*", ["", "text/csv; charset=utf-8", "~\x7f"], ["é", "text\u2028", "\U0001f600"]),
    (r".*", ["`true`", ""], ["a\nb", "a\rb", "a\u2028b"]),
    (r"[\s\S]*", ["", "any\nthing", "\U0001f600"], []),
    ("^[a-zA-Z0-9](-*[a-zA-Z0-9])*", ["a", "my-endpoint", "a--b1"], ["", "-a", "a-", "a_b", "a\n", "é"]),
    ("^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", ["a", "my-endpoint"], ["", "-a", "a-", "a b", "a\n"]),
    (r"^[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?$", ["a", "a-b", "a--b"], ["", "-a", "a-", "a.b", "a\n"]),
    (r"\A\S[\p{Print}]*\z", ["a", "inference 1", "~!"], ["", " a", "a\n", "a\x7f", "aé"]),
    (
        "^(https|s3)://([^/]+)/?(.*)$",
        ["s3://b/k", "https://h", "s3://b/"],
        ["http://h/k", "s3:///k", "b/k", "s3://"],
    ),
    ("…(?!s3:|https:)", ["out", "a/b_c.!*'()-"], ["", "s3://b", "https:x", "a b", "a=b"]),
    (r"…(?!.*\..*\.)", ["a", "a.json", "a-b_c.x"], ["", ".a", "a.b.c", "a/b", "a b"]),
    ("…Expires=", ["abc; Expires=2026-01-02T03:04:05Z"], ["abc", "abc; Expires=2026-01-02", "a;Expires=x"]),
    ("…^(NEW_SESSION)$|", ["NEW_SESSION", "a-1"], ["", "NEW_SESSION\n", "NEW_SESSION-", "a_b"]),
    ("[0-9]{12}", ["123456789012"], ["", "12345678901", "1234567890123", "12345678901a"]),
    (
        "…(provisioned-model|foundation-model)/.+",
        [f"{ARN}:foundation-model/x", "arn:aws:bedrock:::provisioned-model/y"],
        ["", "x", f"{ARN}:foundation-model/"],
    ),
    ("[!-~]*", ["", "a~!", "token"], ["a b", "é", "a\n"]),
    (r"[a-zA-Z_\.\-/0-9:]+", ["amazon.nova-lite-v1:0", ARN + ":x/y"], ["", "a b", "a+b"]),
    ("[a-z0-9]{12}", [ID12], ["", "ABCDEFGHIJ12", ID12 + "3", ID12[:-1]]),
    (
        "…:prompt/[0-9a-zA-Z]{10}",
        [
            "ai21.jamba-instruct-v1:0",
            "us.amazon.nova-pro-v1:0",
            f"{ARN}:prompt/ABCDEFGHIJ:1",
            f"{ARN}:imported-model/{ID12}",
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e",
            f"{ARN}:default-prompt-router/a.b:c",
        ],
        ["", "a b", "model/id", f"{ARN}:prompt/short", "modèle", "a\n"],
    ),
    (
        "(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)",
        [f"{ARN}:guardrail/a1"],
        ["", "a1", f"{ARN}:guardrail/", f"{ARN}:guardrail/A"],
    ),
    ("…(|([a-z0-9]+)|(arn", ["", "gr1", f"{ARN}:guardrail/a1"], ["GR1", "a b", "a-b"]),
    ("([a-z0-9]+)", ["gr1"], ["", "GR1", "a-b"]),
    (
        "…automated-reasoning-policy/",
        [f"{ARN}:automated-reasoning-policy/{ID12}", f"{ARN}:automated-reasoning-policy/{ID12}:12"],
        ["", f"{ARN}:automated-reasoning-policy/{ID12}:0", f"{ARN}:automated-reasoning-policy/x"],
    ),
    ("(|([1-9][0-9]{0,7})|(DRAFT))", ["", "1", "12345678", "DRAFT"], ["0", "123456789", "draft", "1.0"]),
    (
        "…:async-invoke/",
        [f"{ARN}:async-invoke/{ID12}"],
        ["", f"{ARN}:async-invoke/", f"{ARN}:async-invoke/{ID12}x", ID12],
    ),
    (
        "…(arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{1,20}):(|[0-9]{12}):inference-profile/",
        ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova", f"{ARN}:inference-profile/us.a-b:1"],
        ["", "amazon.nova", f"{ARN}:prompt/x"],
    ),
    (
        "…:kms:",
        [
            "arn:aws:kms:us-east-1:123456789012:alias/my/key_1",
            f"arn:aws:kms:us-east-1:123456789012:key/{'a' * 36}",
        ],
        ["", "alias/x", "arn:aws:kms:us-east-1:123456789012:key/short"],
    ),
    (r"\S*", ["", "token=="], ["a b", "a\n", "\t"]),
    ("…{1,256}", ["a b", "k:_@$#=/+,-.", "a" * 256], ["", "a!", "é", "a" * 257]),
    ("…{0,256}", ["", "a b", "a" * 256], ["a!", "é", "a" * 257]),
    (
        "…s3://[a-z0-9]",
        ["s3://bucket", "s3://my.bucket-1/a b"],
        ["", "s3://B", "s3://b", "https://bucket", "s3://bucket-"],
    ),
    (r"[a-zA-Z0-9\s._:/=+@-]*", ["", "a b", "k=v+@"], ["a!", "é", "a,b"]),
    ("[a-zA-Z0-9_-]+", ["tool_1-x"], ["", "a b", "a.b", "é"]),
    ("[a-zA-Z0-9_.:-]+", ["a.b:c-d_e"], ["", "a b", "a/b"]),
]


def _patterns() -> list[str]:
    loader = create_loader()
    found = set()
    for service in ("sagemaker-runtime", "bedrock-runtime"):
        shapes = loader.load_service_model(service, "service-2")["shapes"].values()
        found.update(shape["pattern"] for shape in shapes if "pattern" in shape)
    return sorted(found)


PATTERNS = _patterns()


def _examples(java: str) -> tuple[list[str], list[str]] | None:
    for spelled, accepted, refused in EXAMPLES:
        if spelled == java or (spelled.startswith("…") and spelled[1:] in java):
            return accepted, refused
    return None


@pytest.mark.parametrize("java", PATTERNS)
def test_every_pattern_accepts_and_refuses_what_its_reader_expects(java: str) -> None:
    pattern = compile_pattern(java)
    assert pattern is not None
    # A pattern that a newer botocore brings has no examples here; it has to refuse something all the same.
    accepted, refused = _examples(java) or ([], ["\x00\n\U0001f600 \ud800"])
    assert [text for text in accepted if not pattern.fullmatch(text)] == []
    assert [text for text in refused if pattern.fullmatch(text)] == []


def test_most_patterns_have_examples_written_by_hand() -> None:
    without = [java for java in PATTERNS if _examples(java) is None]
    assert len(without) <= len(PATTERNS) / 2, without


@pytest.mark.parametrize("java", PATTERNS)
def test_every_pattern_accepts_what_is_generated_from_it(java: str) -> None:
    pattern = compile_pattern(java)
    assert pattern is not None

    @settings(max_examples=10, database=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(re.compile(pattern.pattern.replace(r"\A", "^"), re.ASCII), fullmatch=True))
    def accepts(text: str) -> None:
        assert pattern.fullmatch(text)

    accepts()


def test_patterns_of_all_other_services_are_translated_but_for_a_handful() -> None:
    loader = create_loader()
    patterns = {
        shape["pattern"]
        for service in ("iam", "s3control", "sagemaker", "glue", "bedrock-agent", "lambda", "kms", "logs")
        for shape in loader.load_service_model(service, "service-2")["shapes"].values()
        if "pattern" in shape
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untranslated = [java for java in patterns if compile_pattern(java) is None]
    assert len(patterns) > 200
    assert len(untranslated) <= len(patterns) // 50, untranslated


@pytest.mark.parametrize(
    ("java", "accepted", "refused"),
    [
        (r"\p{Alpha}\P{Digit}", ["ax", "b-"], ["1x", "a1"]),
        (r"[\p{Upper}\p{Punct}]+", ["A!", "~[]"], ["a", "A b"]),
        (r"\p{L}+", ["été", "Ωz", "字"], ["1", "a ", ""]),
        (r"\p{IsLu}", ["É"], ["é"]),
        (r"[^\p{C}]*", ["a b"], ["\x00", "\u200b"]),
        (r"[\P{M}\p{M}]*", ["e\u0301"], []),
        (r"\pL", ["a"], ["1"]),
        (r"\x{1F600}", ["\U0001f600"], ["x"]),
        (r"(?<year>\d{4})-\k", [], []),
        (r"(?<year>\d{4})", ["2026"], ["٢٠٢٦"]),
        (r"(?<=a)b|ab", ["ab"], ["b"]),
        (r"a\Z", ["a"], ["a\n"]),
        (r"[a&|~-]+", ["a&|~-", "&&"], ["b"]),
        (r"a{2}\.\\", ["aa.\\"], ["aab\\"]),
    ],
)
def test_java_syntax_means_the_same_in_python(java: str, accepted: list[str], refused: list[str]) -> None:
    pattern = compile_pattern(java)
    if pattern is None:
        assert (accepted, refused) == ([], [])
        return
    assert all(pattern.fullmatch(text) for text in accepted)
    assert not any(pattern.fullmatch(text) for text in refused)


@pytest.mark.parametrize(
    "java",
    [
        r"[a-z&&[^b]]",
        r"[a[b]]",
        r"[\p{Print}&&x]",
        r"\Qa.b\E",
        r"\p{Nonsense}",
        r"\p{}",
        r"[\P{Alpha}]",
        r"\R",
    ],
)
def test_what_has_no_counterpart_is_not_translated(java: str) -> None:
    with pytest.raises(UntranslatableError):
        translate(java)


@pytest.mark.parametrize("java", [r"[a[b]]", "a{3}{4}**", "(", r"x(?i)y"])
def test_a_pattern_without_counterpart_is_left_to_aws_and_said_once(
    java: str, caplog: pytest.LogCaptureFixture
) -> None:
    compile_pattern.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert compile_pattern(java) is None
        assert compile_pattern(java) is None
    assert len(caplog.records) == 1


@given(st.text(max_size=40))
def test_any_text_as_pattern_gives_a_pattern_or_none(java: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile_pattern(java)
