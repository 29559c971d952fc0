"""The one guardrail that the stand-in has, ``localguardrail``, versions ``DRAFT`` and ``1``.

It blocks text with the word ``BLOCKED``, in what the user says and in what the model answers; blocks
``LEAKED`` in answers only (the stand-in quotes its user, so a test can make it say so); and replaces e-mail
addresses in answers by ``{EMAIL}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["IDENTIFIER", "Verdict", "apply_guardrail", "assess", "check_identifier", "reason"]

IDENTIFIER: Final = "localguardrail"
_VERSIONS = ("DRAFT", "1")
_BLOCKED_INPUT = "Sorry, the local guardrail blocks this question."
_BLOCKED_OUTPUT = "Sorry, the local guardrail blocks this answer."
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_UNIT = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guardrail says to some texts.

    :param action: ``NONE``, ``BLOCKED`` or ``ANONYMIZED``.
    :param texts: the texts to go on with.
    :param assessment: the assessment as the API gives it.
    :param usage: the units used.
    """

    action: str
    texts: list[str]
    assessment: dict[str, Any]
    usage: dict[str, int]
    characters: int

    @property
    def intervened(self) -> bool:
        """Whether the guardrail did something."""
        return self.action != "NONE"

    @property
    def coverage(self) -> dict[str, Any]:
        """How much of the text was looked at: all."""
        return {"textCharacters": {"guarded": self.characters, "total": self.characters}}


def check_identifier(identifier: str | None, version: str | None) -> bool:
    """Say whether a guardrail is asked for.

    :raises ApiError: ``ValidationException`` for a guardrail that there is not, or half of the pair.
    """
    if not identifier and not version:
        return False
    if not identifier or not version:
        raise invalid("Both the guardrail identifier and the guardrail version must be provided.")
    if identifier.rpartition("/")[2] != IDENTIFIER or version not in _VERSIONS:
        raise invalid("The guardrail identifier or version provided in the request does not exist.")
    return True


def assess(texts: Sequence[str], source: str) -> Verdict:
    """Look at *texts*.

    :param texts: what was said.
    :param source: ``INPUT`` or ``OUTPUT``.
    """
    joined = "\n".join(texts)
    banned = ["BLOCKED"] if source == "INPUT" else ["BLOCKED", "LEAKED"]
    words = [word for word in banned if re.search(rf"\b{word}\b", joined)]
    emails = _EMAIL.findall(joined) if source == "OUTPUT" else []
    assessment: dict[str, Any] = {}
    if words:
        found = [{"match": word, "action": "BLOCKED", "detected": True} for word in words]
        assessment["wordPolicy"] = {"customWords": found, "managedWordLists": []}
    if emails:
        entities = [
            {"match": email, "type": "EMAIL", "action": "ANONYMIZED", "detected": True} for email in emails
        ]
        assessment["sensitiveInformationPolicy"] = {"piiEntities": entities, "regexes": []}
    usage = _usage(len(joined))
    length = sum(map(len, texts))
    coverage = {"textCharacters": {"guarded": length, "total": length}}
    metrics = {"guardrailProcessingLatency": 1, "usage": usage, "guardrailCoverage": coverage}
    assessment["invocationMetrics"] = metrics
    if words:
        said = [_BLOCKED_INPUT if source == "INPUT" else _BLOCKED_OUTPUT]
        return Verdict("BLOCKED", said, assessment, usage, length)
    masked = [_EMAIL.sub("{EMAIL}", text) for text in texts] if emails else list(texts)
    return Verdict("ANONYMIZED" if emails else "NONE", masked, assessment, usage, length)


def _usage(characters: int) -> dict[str, int]:
    units = -(-characters // _UNIT)
    return {
        "topicPolicyUnits": 0,
        "contentPolicyUnits": 0,
        "wordPolicyUnits": units,
        "sensitiveInformationPolicyUnits": units,
        "sensitiveInformationPolicyFreeUnits": 0,
        "contextualGroundingPolicyUnits": 0,
    }


def apply_guardrail(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ApplyGuardrail.

    :raises ApiError: ``ResourceNotFoundException`` for a guardrail that there is not.
    """
    identifier, version = request["guardrailIdentifier"], request["guardrailVersion"]
    if identifier.rpartition("/")[2] != IDENTIFIER or version not in _VERSIONS:
        raise refusal("ResourceNotFoundException", "The guardrail identifier or version does not exist.")
    if not request["content"]:
        raise invalid("The content field must have at least one content block.")
    verdict = assess(
        [block["text"]["text"] for block in request["content"] if "text" in block], request["source"]
    )
    outputs = [{"text": text} for text in verdict.texts] if verdict.intervened else []
    quiet = not verdict.intervened and request.get("outputScope") != "FULL"
    kept = {"invocationMetrics": verdict.assessment["invocationMetrics"]} if quiet else verdict.assessment
    return {
        "usage": verdict.usage,
        "action": "GUARDRAIL_INTERVENED" if verdict.intervened else "NONE",
        "actionReason": reason(verdict.action),
        "outputs": outputs,
        "assessments": [kept],
        "guardrailCoverage": verdict.coverage,
    }


def reason(action: str) -> str:
    """Say in the service's words what the guardrail did."""
    return {"NONE": "No action.", "BLOCKED": "Guardrail blocked.", "ANONYMIZED": "Guardrail masked."}[action]
