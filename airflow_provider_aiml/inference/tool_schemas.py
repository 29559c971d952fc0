"""Python callables as tools: what the model is told of them, and how its arguments become theirs.

Signatures become JSON schemas by pydantic, which also checks and converts what the model sends. Descriptions
come from the docstring, in Sphinx's, Google's or NumPy's manner.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.described import describe

__all__ = ["ArgumentsError", "Tool", "describe_parameters", "read_tools"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SPHINX: Final = re.compile(r"^:(?:param|parameter|arg)\s+(?:[^:]*\s)?(\w+):[ \t]*", re.M)
_SPHINX_FIELD: Final = re.compile(r"^(?=:\w+[^:\n]*:)", re.M)
_GOOGLE: Final = re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*\n", re.M)
_NUMPY: Final = re.compile(r"^Parameters[ \t]*\n-{3,}[ \t]*\n", re.M)
_SECTION: Final = re.compile(r"^(?:[A-Z]\w+:[ \t]*\n|[A-Z]\w+[ \t]*\n-{3,}|:\w+[^:\n]*:)", re.M)
_GOOGLE_ENTRY: Final = re.compile(r"^(\w+)[ \t]*(?:\([^)]*\))?[ \t]*:[ \t]*", re.M)
_NUMPY_ENTRY: Final = re.compile(r"^(\w+)[ \t]*(?::.*)?$", re.M)
_KINDS: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ArgumentsError(ValueError):
    """The model's arguments do not fit a tool's schema; the message is for the model."""


@dataclass(frozen=True)
class Tool:
    """One callable that the model may ask for.

    :param name: what the model calls it by.
    :param description: what the model is told that it does.
    :param function: the callable.
    :param arguments: the TypedDict of its arguments.
    """

    name: str
    description: str
    function: Callable[..., Any]
    arguments: Any

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(self.arguments)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The tool as an entry of ``toolConfig.tools``."""
        schema = _without_titles(self._adapter.json_schema())
        schema.pop("description", None)
        spec: dict[str, Any] = {"name": self.name, "inputSchema": {"json": schema}}
        if self.description:
            spec["description"] = self.description
        return {"toolSpec": spec}

    def call(self, arguments: Any) -> Any:
        """Check the model's arguments, then call the function with them.

        :param arguments: what the model sent.
        :raises ArgumentsError: they do not fit the schema; the function was not called.
        """
        from pydantic import ValidationError

        try:
            checked = self._adapter.validate_python(arguments)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'the input'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            failure = ArgumentsError(f"The arguments do not fit the tool's schema: {told}")
        else:
            return self.function(**checked)
        raise failure


def read_tools(tools: Any) -> dict[str, Tool]:
    """Read callables as tools, by name.

    :param tools: a list of functions, methods or other callables whose parameters are all annotated.
    :raises RequestError: with every problem: not callable, a coroutine function, a parameter without an
        annotation or of a type that has no JSON schema, two tools of one name.
    """
    if tools is None:
        return {}
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):
        raise _refusal([Problem("tools", describe(tools), "a list of callables")])
    read: dict[str, Tool] = {}
    problems: list[Problem] = []
    for index, function in enumerate(tools):
        tool = _read_tool(function, f"tools[{index}]", problems)
        if tool is None:
            continue
        if tool.name in read:
            problems.append(Problem(f"tools[{index}]", f"another tool named {tool.name}", "one of a name"))
        read[tool.name] = tool
    if problems:
        raise _refusal(problems)
    return read


def _read_tool(function: Any, field: str, problems: list[Problem]) -> Tool | None:
    if not callable(function):
        problems.append(Problem(field, describe(function), "a callable"))
        return None
    name = getattr(function, "__name__", None) or _name_of_type(function)
    if not _NAME.fullmatch(name):
        problems.append(Problem(field, "a callable without a plain name", "a function of a name: def name()"))
        return None
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    ):
        problems.append(Problem(field, f"{name}, a coroutine function", "a plain function"))
        return None
    return _described_tool(function, name, field, problems)


def _name_of_type(function: Any) -> str:
    """Name a callable object by its class, and a partial by what it calls."""
    inner = _inside(function)[0]
    return str(getattr(inner, "__name__", None) or type(function).__name__)


def _inside(function: Any) -> tuple[Any, frozenset[str]]:
    """Give what a partial calls in the end, and the names of the arguments that are bound on the way."""
    bound: frozenset[str] = frozenset()
    while isinstance(function, functools.partial):
        bound |= set(function.keywords)
        function = function.func
    return function, bound


def _described_tool(function: Any, name: str, field: str, problems: list[Problem]) -> Tool | None:
    before = len(problems)
    description, described = describe_parameters(inspect.getdoc(_documented(function)) or "")
    fields = _arguments(function, name, field, described, problems)
    if len(problems) > before:
        return None
    tool = Tool(name, description, function, _typed_dict(name, fields))
    try:
        _ = tool.spec
    except Exception as error:
        found = f"{name}, whose annotations have no JSON schema ({type(error).__name__})"
        problems.append(Problem(field, found, "types that pydantic can describe"))
        return None
    return tool


def _documented(function: Any) -> Any:
    """Give what bears the docstring and the annotations: a partial's function, an object's ``__call__``."""
    inner = _inside(function)[0]
    bears_it = inspect.isroutine(inner) or (inspect.isclass(inner) and inner is not function)
    return inner if bears_it else type(inner).__call__


def _arguments(
    function: Any, name: str, field: str, described: Mapping[str, str], problems: list[Problem]
) -> dict[str, Any]:
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(_documented(function), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        found = f"{name}, whose annotations cannot be read ({type(error).__name__})"
        problems.append(Problem(field, found, "annotations of types that its module knows"))
        return {}
    fields: dict[str, Any] = {}
    bound = _inside(function)[1]
    for parameter in (one for name, one in signature.parameters.items() if name not in bound):
        where = f"{field}.{parameter.name}"
        if parameter.kind not in _KINDS:
            problems.append(Problem(where, f"{name}'s {parameter.kind.description}", "a named parameter"))
        elif parameter.name not in hints:
            problems.append(Problem(where, f"{name}'s parameter without an annotation", "a type"))
        else:
            text = described.get(parameter.name)
            fields[parameter.name] = _field(hints[parameter.name], parameter, text)
    return fields


def _field(annotation: Any, parameter: inspect.Parameter, text: str | None) -> Any:
    from pydantic import Field

    described = typing.Annotated[annotation, Field(description=text)] if text else annotation
    if parameter.default is inspect.Parameter.empty:
        return typing.Required[described]
    return typing.NotRequired[described]


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    from pydantic import ConfigDict
    from typing_extensions import TypedDict

    make: Any = TypedDict
    made = make(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made


def describe_parameters(docstring: str) -> tuple[str, dict[str, str]]:
    """Take a docstring apart: what comes before its sections, and each parameter's words.

    :param docstring: cleaned as by :func:`inspect.getdoc`.
    """
    first = _SECTION.search(docstring)
    description = docstring[: first.start()] if first else docstring
    return _flat(description), _sphinx(docstring) or _listed(docstring)


def _sphinx(docstring: str) -> dict[str, str]:
    described = {}
    for found in _SPHINX.finditer(docstring):
        following = _SPHINX_FIELD.search(docstring, found.end())
        text = docstring[found.end() : following.start() if following else len(docstring)]
        described[found[1]] = _flat(text.partition("\n\n")[0])
    return described


def _listed(docstring: str) -> dict[str, str]:
    """Read Google's ``Args:`` or NumPy's ``Parameters``, whose entries begin where the first one does."""
    section, pattern = _NUMPY.search(docstring), _NUMPY_ENTRY
    if section is None:
        section, pattern = _GOOGLE.search(docstring), _GOOGLE_ENTRY
    if section is None:
        return {}
    body = docstring[section.end() :]
    ending = _SECTION.search(body)
    body = inspect.cleandoc("\n" + (body[: ending.start()] if ending else body))
    entries = list(pattern.finditer(body))
    described = {}
    ends = [*(entry.start() for entry in entries[1:]), len(body)]
    for entry, end in zip(entries, ends, strict=False):
        described[entry[1]] = _flat(body[entry.end() : end])
    return {name: text for name, text in described.items() if text}


def _flat(text: str) -> str:
    """Join the lines of each paragraph."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())


def _without_titles(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of names; a property may be called ``title`` itself."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return {
        key: {name: _without_titles(item) for name, item in value.items()}
        if key in ("properties", "$defs") and isinstance(value, dict)
        else value
        if key in ("default", "const", "enum", "examples")
        else _without_titles(value)
        for key, value in kept.items()
    }


def _refusal(problems: Sequence[Problem]) -> RequestError:
    return RequestError("The tools cannot be offered to the model", problems=tuple(problems))
