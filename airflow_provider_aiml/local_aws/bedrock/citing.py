"""Cites documents: the sentences of an answer that quote one become blocks with their citations.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CitationsContentBlock.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.local_aws.bedrock.conversation import Block
    from airflow_provider_aiml.local_aws.bedrock.documents import Document

__all__ = ["citation", "with_citations"]


def citation(document: Document, index: int, line: int) -> dict[str, Any]:
    """Cite a line of a document.

    :param document: the document.
    :param index: its place among the documents of the conversation.
    :param line: the line's place in it.
    """
    start = sum(len(before) + 1 for before in document.lines[:line])
    end = start + len(document.lines[line])
    return {
        "title": document.name,
        "sourceContent": [{"text": document.lines[line]}],
        "location": {"documentChar": {"documentIndex": index, "start": start, "end": end}},
    }


def with_citations(text: str, cited: Mapping[str, dict[str, Any]]) -> list[Block]:
    """Give an answer as blocks, with each cited sentence in one of its own.

    :param text: the answer, perhaps cut short.
    :param cited: the citation of each sentence, in the order of the answer.
    """
    blocks: list[Block] = []
    rest = text
    for sentence, where in cited.items():
        before, found, after = rest.partition(sentence)
        if not found:
            break
        blocks += [{"text": before}] if before else []
        blocks.append({"citationsContent": {"content": [{"text": sentence}], "citations": [where]}})
        rest = after
    return [*blocks, {"text": rest}] if rest else blocks
