"""A JSON schema or a Pydantic model as the shape of an answer: checked before it is sent, and validated by.

What is wrong with an answer is told twice: to the task by path and rule, never by value; to the model, who
wrote it, in full.

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.conversation import mended
from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.json_text import MalformedError, from_json, uncarried
from airflow_provider_aiml.inference.schema_references import (
    DEFINITIONS,
    leads_somewhere,
    moved,
    references,
)

__all__ = ["MisfitError", "OutputSchema"]

WRAPPER_KEY: Final = "result"
"""Under which key a value that is no object is asked for: Bedrock wants an object at the top."""
_MOST_PROBLEMS: Final = 20
_LONGEST_RULE: Final = 80
_LONGEST_TOLD: Final = 4_000
_OF_THE_WHOLE: Final = ("$schema", "$id")
"""Keywords that speak of a schema as the whole of a document."""


class MisfitError(ValueError):
    """An answer that does not fit.

    :param problems: path and rule of each fault, without a value.
    :param told: the same for the model, with its own values.
    """

    def __init__(self, problems: tuple[Problem, ...], told: str) -> None:
        super().__init__("the answer does not fit the schema")
        self.problems = problems
        self.told = told[:_LONGEST_TOLD]


@dataclass(frozen=True)
class OutputSchema:
    """The shape that an answer shall have.

    :param given: the JSON schema, as the task's author has it.
    :param model: the Pydantic model that it was made of; None for a JSON schema.
    """

    given: Mapping[str, Any]
    model: Any = None

    @classmethod
    def of(cls, schema: Any, field: str = "output_schema") -> OutputSchema:
        """Read a JSON schema (a mapping, or its JSON as text) or a Pydantic model class.

        :raises RequestError: it is neither, is no valid schema, or refers to what is not in it.
        """
        if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
            return cls._of_model(schema, field)
        if isinstance(schema, str):
            schema = _parsed(schema, field)
        if not isinstance(schema, Mapping):
            raise _refusal(field, describe(schema), "a JSON schema or a Pydantic model class")
        read = cls(json.loads(_dumped(schema, field)))
        read._check(field)
        return read

    @classmethod
    def _of_model(cls, model: Any, field: str) -> OutputSchema:
        try:
            given = model.model_json_schema()
        except Exception as error:
            found = f"a model that has no JSON schema ({type(error).__name__})"
            failure = _refusal(field, found, "a Pydantic model whose fields have one")
        else:
            return cls(given, model)
        raise failure

    @cached_property
    def wrapped(self) -> bool:
        """Whether the schema describes no object, so that it is asked for inside of one."""
        return self.given.get("type") != "object"

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The schema as the model gets it: of an object."""
        if not self.wrapped:
            return dict(self.given)
        given = moved(self.given, f"/properties/{WRAPPER_KEY}")
        definitions = {key: given.pop(key) for key in DEFINITIONS if key in given}
        inner = {key: value for key, value in given.items() if key not in _OF_THE_WHOLE}
        return {
            "type": "object",
            "properties": {WRAPPER_KEY: inner},
            "required": [WRAPPER_KEY],
            "additionalProperties": False,
            **definitions,
        }

    @property
    def description(self) -> str | None:
        """What the schema says of itself."""
        text = self.given.get("description")
        return text if isinstance(text, str) and text.strip() else None

    def read_text(self, text: str) -> Any:
        """Read an answer that is JSON text, alone or in a Markdown fence.

        :raises MisfitError: it is not JSON, or does not fit.
        """
        why = "not JSON"
        for candidate in filter(None, (text.strip(), _fenced(text))):
            try:
                answer = from_json(candidate)
            except MalformedError as error:
                why = str(error)
                continue
            return self.read(answer)
        problem = Problem("$", f"text of {len(text)} characters that is {why}", "JSON")
        raise MisfitError((problem,), f"The answer is {why}.")

    def read(self, answer: Any) -> Any:
        """Check an answer; give it without its wrapper, as JSON values.

        :raises MisfitError: it does not fit, is nested too deep to be looked at, or holds a number that XCom
            cannot carry: 1e999 is an infinity to Python, and a number to every schema.
        """
        try:
            value = self._fitting(answer)
            problem = uncarried(mended(value), "$")
        except RecursionError:
            problem = Problem("$", "nested too deep", "an answer of the schema's shape")
        if problem is None:
            return value
        raise MisfitError((problem,), f"The answer cannot be used: {problem.found} is in it.")

    def _fitting(self, answer: Any) -> Any:
        errors = sorted(self._validator.iter_errors(answer), key=lambda error: error.json_path)
        if errors:
            told = "\n".join(f"{error.json_path}: {error.message}" for error in errors[:_MOST_PROBLEMS])
            raise MisfitError(tuple(self._problem(error) for error in errors[:_MOST_PROBLEMS]), told)
        value = answer[WRAPPER_KEY] if self.wrapped else answer
        return self._through_model(value) if self.model is not None else value

    def _through_model(self, value: Any) -> Any:
        from pydantic import ValidationError

        try:
            return self.model.model_validate_json(json.dumps(value)).model_dump(mode="json", by_alias=True)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        problems = tuple(
            Problem(
                self._path(fault["loc"]), "refused by the model's own rules", f"what {fault['type']} asks"
            )
            for fault in faults
        )
        told = "\n".join(f"{'.'.join(map(str, fault['loc'])) or '$'}: {fault['msg']}" for fault in faults)
        raise MisfitError(problems, told)

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import FormatChecker
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry

        validator = validator_for(self.asked, default=Draft202012Validator)
        # A registry of its own, for the default one fetches what a reference names from the network.
        return validator(self.asked, registry=Registry(), format_checker=FormatChecker())

    def _check(self, field: str) -> None:
        from jsonschema.exceptions import SchemaError

        try:
            self._validator.check_schema(self.given)
        except SchemaError as error:
            path = "".join(f"[{step!r}]" for step in error.absolute_path)
            failure = _refusal(
                f"{field}{path}", f"no JSON schema: it breaks {error.validator}", "a JSON schema"
            )
        else:
            self._check_references(field)
            return
        raise failure

    def _check_references(self, field: str) -> None:
        for path, reference in references(self.given, field):
            if not reference.startswith("#"):
                raise _refusal(path, "a reference to somewhere else", "one to this schema: #/$defs/…")
            if not leads_somewhere(self.given, reference):
                raise _refusal(path, "a reference to what is not there", "one to a definition of this schema")

    def _problem(self, error: Any) -> Problem:
        rule = json.dumps(error.validator_value, default=str, ensure_ascii=False)
        limit = rule if len(rule) <= _LONGEST_RULE else "the schema's"
        return Problem(
            self._path(error.absolute_path), describe(error.instance), f"{error.validator} {limit}"
        )

    def _path(self, steps: Any) -> str:
        """Give a JSON path of indexes and of names that the schema knows; a name of the model's is ``*``."""
        known = self._property_names
        named = (
            f"[{step}]" if isinstance(step, int) else f".{step if step in known else '*'}" for step in steps
        )
        return "$" + "".join(named)

    @cached_property
    def _property_names(self) -> frozenset[str]:
        return frozenset(_named_properties(self.asked))


def _named_properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for value in schema.values():
            yield from _named_properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _named_properties(value)


def _fenced(text: str) -> str:
    """Give what stands in the first Markdown fence; nothing where there is none."""
    _, fence, rest = text.partition("```")
    inside, closing, _ = rest.partition("```")
    return inside.partition("\n")[2] if fence and closing else ""


def _parsed(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    raise _refusal(field, f"text of {len(text)} characters that is not JSON", "a JSON schema")


def _dumped(schema: Mapping[str, Any], field: str) -> str:
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        pass
    raise _refusal(field, "a mapping that is not JSON", "a JSON schema")


def _refusal(field: str, found: str, allowed: str) -> RequestError:
    return RequestError("The output schema cannot be used", problems=(Problem(field, found, allowed),))
