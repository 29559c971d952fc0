"""Documents and images for Converse: from paths, object storage or S3 URIs to content blocks.

A block has a neutral name, for a file's own name travels to the model and can carry an instruction to it. The
limits of Converse that botocore's service model does not hold are checked here, before anything is sent.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from airflow_provider_aiml.exceptions import PayloadError, Problem, RequestError
from airflow_provider_aiml.inference.conversation import user_message
from airflow_provider_aiml.inference.media_formats import (
    document_format,
    format_of_name,
    read_image_header,
)

__all__ = ["ATTACHED_TEXT", "Attachments", "attached", "check_media", "document_names", "own_name"]

Kind: TypeAlias = Literal["document", "image"]
Block: TypeAlias = dict[str, Any]

ATTACHED_TEXT: Final = "See what is attached."
"""What is said where only attachments are given: a document needs a text beside it."""
MOST: Final[Mapping[str, int]] = {"document": 5, "image": 20}
"""How many of a kind one message may hold."""
MOST_BYTES: Final[Mapping[str, int]] = {"document": 4_500_000, "image": 3_750_000}
"""How large one of a kind may be, in bytes."""
MOST_PIXELS: Final = 8_000
"""How long a side of an image may be."""
_IMAGE_FORMATS: Final = frozenset({"png", "jpeg", "gif", "webp"})
_LONGEST_NAME: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9()\[\]-]+(?: [A-Za-z0-9()\[\]-]+)*")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_S3: Final = ("s3://", "s3a://", "s3n://")
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "document": frozenset({"uri", "name", "format", "bucket_owner", "context", "citations"}),
    "image": frozenset({"uri", "format", "bucket_owner"}),
}


class Readable(Protocol):
    """The little of a path that is needed here."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        ...

    def open(self, mode: str) -> Any:
        """Open the file in a binary mode."""
        ...


@dataclass(frozen=True, slots=True)
class Attachments:
    """How documents and images become content blocks. Each file is read once, however often it is asked for.

    :param open_uri: opens a URI: gives a path with ``open`` and ``name``.
    :param send_as: ``bytes`` reads each file and sends it along; ``s3`` sends the location of those on S3,
        for models that read it themselves. Default: ``bytes``.
    :param names: ``neutral`` calls documents ``document-1`` and so on; ``own`` takes each file's name, made
        to fit. Default: ``neutral``.
    :param limited: check sizes and pixels against Converse's limits. Default: True.
    """

    open_uri: Callable[[str], Readable]
    send_as: Literal["bytes", "s3"] = "bytes"
    names: Literal["neutral", "own"] = "neutral"
    limited: bool = True
    _read_files: dict[tuple[Kind, int], tuple[Any, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def documents(self, sources: Any, taken: Collection[str] = ()) -> list[Block]:
        """Give a content block for each document.

        :param sources: a list of paths, URIs, mappings (``uri`` with ``name``, ``format``, ``bucket_owner``,
            ``context``, ``citations``) or blocks as the API has them.
        :param taken: names that stand in the conversation already.
        :raises RequestError: one cannot be read, is of no format that Converse takes, or is too large.
        """
        fields = [(f"documents[{index}]", one) for index, one in enumerate(_listed(sources, "documents"))]
        items = [(field, _Item.of(source, "document", field)) for field, source in fields]
        names = _Names(self.names, {*taken, *(item.name for _, item in items)})
        return [self._document(item, field, names) for field, item in items]

    def images(self, sources: Any) -> list[Block]:
        """Give a content block for each image.

        :param sources: a list of paths, URIs, mappings (``uri`` with ``format``, ``bucket_owner``) or blocks
            as the API has them.
        :raises RequestError: one cannot be read, is none of the four formats, or is too large.
        """
        return [
            self._image(source, f"images[{index}]") for index, source in enumerate(_listed(sources, "images"))
        ]

    def _document(self, item: _Item, field: str, names: _Names) -> Block:
        if item.block is not None:
            return {"document": {**item.block, "name": item.name or names.next("")}}
        file = item.file(self.open_uri)
        content = None if self._by_location(item) else self._content(item, file, "document", field)
        found = item.facts.get("format") or (
            format_of_name(file.name) if content is None else document_format(content, file.name)
        )
        if found is None:
            raise _unfit(field, "of a format that Converse does not take", "pdf, office documents or text")
        block: Block = {"format": found, "name": item.name or names.next(file.name)}
        block["source"] = item.location() if content is None else {"bytes": content}
        for extra in ("context", "citations"):
            if extra in item.facts:
                block[extra] = item.facts[extra]
        return {"document": block}

    def _image(self, source: Any, field: str) -> Block:
        item = _Item.of(source, "image", field)
        if item.block is not None:
            return {"image": item.block}
        file = item.file(self.open_uri)
        if self._by_location(item):
            found = item.facts.get("format") or format_of_name(file.name)
            if found is None:
                raise _unfit(field, "a name without an ending", "an ending, or format beside uri")
            return {"image": {"format": found, "source": item.location()}}
        content = self._content(item, file, "image", field)
        header = read_image_header(content)
        if header is None:
            raise _unfit(field, f"{len(content)} bytes that are no readable image", "png, jpeg, gif or webp")
        return {"image": {"format": header.format, "source": {"bytes": content}}}

    def _by_location(self, item: _Item) -> bool:
        return self.send_as == "s3" and item.on_s3

    def _content(self, item: _Item, file: Readable, kind: Kind, field: str) -> bytes:
        key = kind, id(item.where)
        if key not in self._read_files:
            content = _read(file, MOST_BYTES[kind] if self.limited else None, field)
            self._read_files[key] = item.where, content  # Both are held, for an id may be used again.
        return self._read_files[key][1]


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing to attach: where it is, or its block as the API has it."""

    where: Any
    facts: Mapping[str, Any]
    block: Block | None = None

    @classmethod
    def of(cls, source: Any, kind: Kind, field: str) -> _Item:
        if not isinstance(source, Mapping):
            return cls(_place(source, field), {})
        inner = source[kind] if set(source) == {kind} and isinstance(source[kind], Mapping) else source
        if "source" in inner:
            return cls(None, {}, dict(inner))
        known = _FIELDS[kind]
        if unknown := [name for name in inner if name not in known]:
            raise _unfit(field, f"a mapping with {len(unknown)} other keys", ", ".join(sorted(known)))
        facts = {name: value for name, value in inner.items() if value is not None}
        return cls(_place(facts.get("uri"), f"{field}.uri"), facts)

    @property
    def name(self) -> str:
        """The name that was given by hand; empty where none was."""
        return str((self.facts if self.block is None else self.block).get("name") or "")

    @property
    def on_s3(self) -> bool:
        return str(self.where).startswith(_S3)

    def file(self, open_uri: Callable[[str], Readable]) -> Readable:
        if not isinstance(self.where, str):
            return self.where if hasattr(self.where, "open") else Path(self.where)
        return open_uri(self.where) if "://" in self.where else Path(self.where)

    def location(self) -> dict[str, Any]:
        """Give the S3 location, without the connection that Airflow writes before the bucket."""
        bucket, _, key = str(self.where).partition("://")[2].partition("/")
        location = {"uri": f"s3://{bucket.rpartition('@')[2]}/{key}"}
        if owner := self.facts.get("bucket_owner"):
            location["bucketOwner"] = str(owner)
        return {"s3Location": location}


class _Names:
    """Gives each document of a conversation a valid name of its own."""

    def __init__(self, policy: str, taken: Collection[str]) -> None:
        self._policy = policy
        self._taken = set(taken)

    def next(self, file_name: str) -> str:
        name = own_name(file_name) if self._policy == "own" else ""
        candidate, number = name or "document-1", 1
        while candidate in self._taken:
            number += 1
            ending = f" ({number})"
            candidate = (
                name[: _LONGEST_NAME - len(ending)].rstrip() + ending if name else f"document-{number}"
            )
        self._taken.add(candidate)
        return candidate


def attached(message: Any, blocks: Sequence[Block]) -> Any:
    """Put attachments before what a message says, and a text beside them where it says nothing.

    The results of tools come before both: Claude looks for them only where a message begins ("`tool_use` ids
    were found without `tool_result` blocks immediately after").

    :param message: the message's text or content blocks; None where there is none.
    :param blocks: the attachments.
    :raises RequestError: the message is neither.
    """
    if not blocks:
        return message
    said = [] if message is None else user_message(message)["content"]
    results = [block for block in said if "toolResult" in block]
    rest = [block for block in said if "toolResult" not in block]
    if not any("text" in block for block in rest):
        rest.append({"text": ATTACHED_TEXT})
    return [*results, *blocks, *rest]


def own_name(file_name: str) -> str:
    """Make a file's name one that Converse takes; empty where nothing of it is left.

    :param file_name: the file's name, of which the ending goes.
    """
    base = file_name.rpartition("/")[2]
    stem = base.rpartition(".")[0] or base
    return _NOT_IN_A_NAME.sub(" ", stem).strip()[:_LONGEST_NAME].rstrip()


def document_names(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the documents of a conversation."""
    return [
        str(block["document"].get("name"))
        for message in messages
        for block in message["content"]
        if isinstance(block.get("document"), Mapping)
    ]


def check_media(content: Sequence[Mapping[str, Any]], taken: Collection[str] = ()) -> None:
    """Refuse what Converse would refuse of a message's documents and images.

    :param content: the content blocks of the message.
    :param taken: names of the documents that stand in the conversation already.
    :raises RequestError: with every problem: too many, too large, no valid or unique name, an image that
        cannot be read, is too long or is not what it claims to be.
    """
    problems = [*_count_problems(content), *_name_problems(content, taken)]
    for index, block in enumerate(content):
        for kind in MOST:
            if isinstance(inner := block.get(kind), Mapping):
                problems += _content_problems(kind, inner, f"message[{index}].{kind}")
    if problems:
        raise PayloadError("The message cannot be sent", problems=tuple(problems))


def _count_problems(content: Sequence[Mapping[str, Any]]) -> list[Problem]:
    problems = []
    for kind, most in MOST.items():
        count = sum(1 for block in content if kind in block)
        if count > most:
            problems.append(Problem("message", f"a message with {count} {kind}s", f"at most {most}"))
    if any("document" in block for block in content) and not any("text" in block for block in content):
        problems.append(Problem("message", "a document without a text", "a text block beside the document"))
    return problems


def _name_problems(content: Sequence[Mapping[str, Any]], taken: Collection[str]) -> list[Problem]:
    problems, seen = [], set(taken)
    for index, block in enumerate(content):
        if not isinstance(block.get("document"), Mapping):
            continue
        name, where = block["document"].get("name"), f"message[{index}].document.name"
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            allowed = "1 to 200 letters, digits, single spaces, hyphens, parentheses and square brackets"
            found = f"text of {len(name)} characters" if isinstance(name, str) else "missing"
            problems.append(Problem(where, found, allowed))
        elif name in seen:
            problems.append(Problem(where, "used by another document", "unique in the conversation"))
        seen.add(name)
    return problems


def _content_problems(kind: str, block: Mapping[str, Any], field: str) -> list[Problem]:
    source = block.get("source")
    content = source.get("bytes") if isinstance(source, Mapping) else None
    if not isinstance(content, (bytes, bytearray)):
        return []
    most = MOST_BYTES[kind]
    if len(content) > most:
        return [Problem(field, f"{len(content)} bytes", f"at most {most} bytes")]
    return _image_problems(bytes(content), block, field) if kind == "image" else []


def _image_problems(content: bytes, block: Mapping[str, Any], field: str) -> list[Problem]:
    if block.get("format") not in _IMAGE_FORMATS:
        return []  # The service model says which there are.
    header = read_image_header(content)
    if header is None:
        return [Problem(field, f"{len(content)} bytes that are no readable image", "png, jpeg, gif or webp")]
    if header.format != block.get("format"):
        return [Problem(f"{field}.format", "another than the content's", header.format)]
    if max(header.width, header.height) > MOST_PIXELS:
        found = f"{header.width} x {header.height} pixels"
        return [Problem(field, found, f"at most {MOST_PIXELS} pixels a side")]
    return []


def _read(file: Readable, most: int | None, field: str) -> bytes:
    """Read a file, but no more of it than shows that it is too large."""
    try:
        with file.open("rb") as opened:
            content = bytes(opened.read() if most is None else opened.read(most + 1))
    except Exception as error:
        problem = Problem(field, f"unreadable: {type(error).__name__}", "a file that can be read")
        failure = PayloadError("The message cannot be sent", problems=(problem,))
    else:
        if not content:
            raise _unfit(field, "empty", "a file with something in it")
        if most is not None and len(content) > most:
            raise _unfit(field, f"over {most} bytes", f"at most {most} bytes")
        return content
    raise failure


def _place(source: Any, field: str) -> Any:
    if hasattr(source, "open") or isinstance(source, os.PathLike) or (isinstance(source, str) and source):
        return source
    raise _unfit(field, f"a {type(source).__name__}", "a path, a URI, a mapping with uri, or a block")


def _listed(sources: Any, field: str) -> list[Any]:
    if sources is None:
        return []
    if isinstance(sources, (str, Mapping, os.PathLike)) or hasattr(sources, "open"):
        return [sources]
    if isinstance(sources, Sequence) and not isinstance(sources, (bytes, bytearray)):
        return list(sources)
    raise _unfit(field, f"a {type(sources).__name__}", "a list of paths, URIs, mappings or blocks")


def _unfit(field: str, found: str, allowed: str) -> RequestError:
    return PayloadError("The message cannot be sent", problems=(Problem(field, found, allowed),))
