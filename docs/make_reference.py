"""Write docs/reference.md from the signatures and docstrings of the public classes.

Run this file to write the page anew; a test compares them. An argument without a ``:param:`` is an error.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml import exceptions
from airflow_provider_aiml.aws_task import AwsTask
from airflow_provider_aiml.endpoint_api import EndpointApi
from airflow_provider_aiml.get_provider_info import get_provider_info
from airflow_provider_aiml.inference import payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parent / "reference.md"
HEAD = """\
# Reference

Written by `python docs/make_reference.py` from signatures and docstrings; a test holds it in step with them.
Operators and sensors take the arguments of [every task](#every-task) and Airflow's own, too. "(templated)":
Jinja in it is rendered.
"""
HOOK_METHODS = {"ApiGatewaySageMakerHook": ("deploy", "describe", "invoke", "delete")}
"""Of the other hooks, the methods with a coroutine twin are what a DAG author calls."""
ELSEWHERE: dict[str, tuple[type, ...]] = {"ApiGatewaySageMakerDeployOperator": (AwsTask, EndpointApi)}
"""Whose arguments a task takes, too, that stand in another table: of all other tasks those of every task."""
_FIELD = re.compile(r":(param|raises|returns?) ?([\w.]*):\s*(.*)")


@dataclass
class Documented:
    """What a docstring says: its paragraphs, and its fields by kind and name."""

    prose: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    raises: dict[str, str] = field(default_factory=dict)
    returns: str = ""

    @classmethod
    def of(cls, documented: Any) -> Documented:
        """Read the docstring of a class or a method, without those that it inherits."""
        read = cls()
        docstring = inspect.cleandoc(documented.__doc__ or "")
        for block in re.split(r"\n(?=:(?:param|raises|return))|\n\n", docstring):
            text = markdown(" ".join(block.replace(".. seealso::", "").split()))
            found = _FIELD.match(text)
            if found is None:
                read.prose.append(text)
            elif found[1] == "param":
                read.params[found[2]] = found[3]
            elif found[1] == "raises":
                read.raises[found[2]] = found[3]
            else:
                read.returns = found[3]
        return read


def markdown(text: str) -> str:
    """Turn the few marks of our docstrings into Markdown's."""
    text = text.replace(f":mod:`{exceptions.__name__}`", "[errors](#errors)")
    text = re.sub(r":(?:class|data|func|meth|mod|attr):`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r"```(.+?)```", r"`` `\1` ``", text)
    return re.sub(r"(?<!`)``([^` ].*?)``", r"`\1`", text)


def public_classes(kind: str) -> Iterator[tuple[str, Any]]:
    """Give the classes of a kind (``operators``, …), each with the module to import it from."""
    seen = set()
    for entry in get_provider_info()[kind]:
        for name in entry["python-modules"]:
            module = import_module(name)
            own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
            for public in getattr(module, "__all__", own):
                found = getattr(module, public)
                if re.search("(Operator|Sensor|Hook)$", public) and found not in seen:
                    seen.add(found)
                    yield name, found


def lineage(cls: type) -> list[type]:
    """Give a class and those of its bases that are ours."""
    return [base for base in cls.__mro__ if base.__module__.startswith(exceptions.__package__)]


def arguments(cls: type, without: frozenset[str] = frozenset()) -> dict[str, tuple[str, str]]:
    """Give default and meaning of each argument of a class, its own first.

    :raises LookupError: one has no ``:param:``.
    """
    given: dict[str, str] = {}
    meanings: dict[str, str] = {}
    for base in lineage(cls):
        initial: Any = vars(base).get("__init__")
        own = dict(defaults(initial)) if initial else {}
        given |= {name: default for name, default in own.items() if name not in {*given, *without}}
        meanings = {**Documented.of(base).params, **meanings}
    if missing := sorted(given.keys() - meanings.keys()):
        raise LookupError(f"{cls.__name__} does not say what {', '.join(missing)} means")
    return {name: (default, meanings[name]) for name, default in given.items()}


def defaults(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Give each named parameter with its default."""
    for one in list(inspect.signature(function).parameters.values())[1:]:
        if one.kind is not one.VAR_KEYWORD:
            default = "{}" if repr(one.default) == "<factory>" else repr(one.default)
            yield one.name, "**required**" if one.default is one.empty else f"`{default}`"


def table(rows: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Draw arguments."""
    yield "| argument | default | meaning |\n| --- | --- | --- |"
    for name, (default, meaning) in rows.items():
        yield f"| `{name}` | {default} | {once(meaning, default).replace('|', chr(92) + '|')} |"
    yield ""


def once(meaning: str, default: str) -> str:
    """Leave out of a meaning the default that stands beside it."""
    said = re.search(r" Default: ([^.]*)\.(?= \(|$)", meaning)
    same = said and said[1].replace(",", "").strip("`") == default.strip("`'")
    return meaning.replace(said[0], "") if said and same else meaning


def raised(classes: list[type]) -> Iterator[str]:
    """List what is raised, as the nearest class says it."""
    errors: dict[str, str] = {}
    for base in classes:
        errors = {**Documented.of(base).raises, **errors}
    if errors:
        yield "Raises:\n"
        yield from (f"- `{name}`: {meaning}" for name, meaning in errors.items())
        yield ""


def task_section(module: str, cls: type) -> Iterator[str]:
    """Describe an operator or sensor."""
    yield f"### {cls.__name__}\n\n`from {module} import {cls.__name__}`\n"
    yield from (f"{paragraph}\n" for paragraph in Documented.of(cls).prose)
    elsewhere = ELSEWHERE.get(cls.__name__, (AwsTask,))
    yield from table(arguments(cls, frozenset(name for other in elsewhere for name in arguments(other))))
    yield from raised(lineage(cls))


def hook_section(module: str, cls: type) -> Iterator[str]:
    """Describe a hook and its methods."""
    yield f"### {cls.__name__}\n\n`from {module} import {cls.__name__}`\n"
    yield from (f"{paragraph}\n" for paragraph in Documented.of(cls).prose)
    yield from table(arguments(cls))
    twins = [name for name in vars(cls) if hasattr(cls, f"a{name}")]
    for name in HOOK_METHODS.get(cls.__name__, twins):
        yield from method_section(cls, name)


def method_section(cls: type, name: str) -> Iterator[str]:
    """Describe a method."""
    method = getattr(cls, name)
    told = Documented.of(method)
    twin = f", coroutine `a{name}`" if hasattr(cls, f"a{name}") else ""
    yield f"**`{name}`**{twin}: {' '.join(told.prose)}\n"
    given = dict(defaults(method))
    if missing := sorted(given.keys() - told.params.keys()):
        raise LookupError(f"{cls.__name__}.{name} does not say what {', '.join(missing)} means")
    yield from (
        f"- `{one}`{f', default {given[one]}' if '`' in given.get(one, '') else ''}: "
        f"{once(meaning, given.get(one, ''))}"
        for one, meaning in told.params.items()
    )
    if told.returns:
        yield f"- gives {told.returns}"
    yield from (f"- raises `{error}`: {meaning}" for error, meaning in told.raises.items())
    yield ""


def content_types() -> Iterator[str]:
    """Draw what becomes of a body, from the table at the head of the module that does it."""
    title, table_of_types, told, _ = inspect.cleandoc(payload.__doc__ or "").split("\n\n")
    ruler, _, *rows = table_of_types.splitlines()
    columns = [column.span() for column in re.finditer("=+", ruler)]
    yield f"{title}\n"
    yield "| content type | to send | answer |\n| --- | --- | --- |"
    for row in rows[1:-1]:
        yield f"| {' | '.join(markdown(row[start:end].strip()) for start, end in columns)} |"
    yield f"\n{markdown(' '.join(told.split()))}\n"


def error_rows() -> Iterator[str]:
    """Draw the tree of errors."""
    yield "| error | a kind of | a retry may help | may have been billed | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for name in exceptions.__all__:
        error: Any = getattr(exceptions, name)
        if inspect.isclass(error) and issubclass(error, Exception):
            facts = ["yes" if one else "no" for one in (error.retryable, error.may_have_been_billed)]
            told = [f"`{name}`", f"`{error.__base__.__name__}`", *facts, Documented.of(error).prose[0]]
            yield f"| {' | '.join(told)} |"
    yield ""


def page() -> str:
    """Give the whole page."""
    sections = {kind: list(public_classes(kind)) for kind in ("operators", "sensors", "hooks")}
    lines = [HEAD]
    for kind, found in sections.items():
        links = ", ".join(f"[{cls.__name__}](#{cls.__name__.lower()})" for _, cls in found)
        lines.append(f"- {kind.title()}: {links}")
    lines.append("- [EndpointApi](#endpointapi), [every task](#every-task)")
    lines.append("- [Content types](#content-types), [errors](#errors)\n")
    for kind, found in sections.items():
        lines.append(f"## {kind.title()}\n")
        describe = hook_section if kind == "hooks" else task_section
        for module, cls in found:
            lines += describe(module, cls)
    lines += [
        *("## EndpointApi\n", "`from airflow_provider_aiml.endpoint_api import EndpointApi`\n"),
        *(f"{paragraph}\n" for paragraph in Documented.of(EndpointApi).prose),
        *table(arguments(EndpointApi)),
        *raised([EndpointApi]),
        *("## Every task\n", "Arguments of all operators and sensors here.\n", *table(arguments(AwsTask))),
        *("## Content types\n", *content_types()),
        *("## Errors\n", f"`from {exceptions.__name__} import …`\n"),
        "What stands here is each class's own; an error may know better, and says so in its text.\n",
        *error_rows(),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
