"""What a first try finds though nothing is written down: outputs of a run of the same name, deleted since.

Names are derived from who asks what, so such an output would be there the moment its request is sent again,
and be taken for the new one. It is looked for as well as can be: whatever goes wrong, the requests are sent.
A LIST says of all of them what is there; each is asked for by itself only where it cannot.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_look import DENIED_CODES, fault_code, head
from airflow_provider_aiml.inference.outputs import Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_aiml.inference.outputs import AsyncInference, Location

log = logging.getLogger(__name__)

_PAGE = 1_000  # keys that LIST gives at most
_WORTH_A_PAGE = 50  # outputs for which a further page costs less than asking for each
_LOOKERS = 8  # looks at once


def first_look(client: Any, predicted: Mapping[str, list[AsyncInference]]) -> dict[str, AsyncInference]:
    """Say which of many requests have their output already, and where.

    :param client: a boto3 S3 client.
    :param predicted: the places where each output may be, the likeliest first, by identity.
    """
    found: dict[str, AsyncInference] = {}
    try:
        for nth, way in enumerate(zip(*predicted.values(), strict=False)):
            there = _there(client, [one.output_location for one in way], ask_each=nth == 0)
            seen = {key: one for key, one in zip(predicted, way, strict=True) if one.output_location in there}
            found = seen | found
    except Exception as error:
        if (code := fault_code(error)) is None:
            raise
        log.info("S3 cannot be asked whether an output is there already (%s); the requests are sent", code)
    return found


def _there(client: Any, places: Sequence[Location], *, ask_each: bool) -> set[Location]:
    try:
        keys, last = _listed(client, places)
    except Exception as error:
        if fault_code(error) not in DENIED_CODES:
            raise
        keys, last = set(), "" if ask_each else None
    unlisted = [place for place in places if last is not None and place.key > last]
    with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="first-look") as lookers:
        looks = lookers.map(lambda place: head(client, place, Seen.OUTPUT).seen, unlisted)
        asked = {place for place, seen in zip(unlisted, looks, strict=True) if seen is Seen.OUTPUT}
    return asked | {place for place in places if place.key in keys}


def _listed(client: Any, places: Sequence[Location]) -> tuple[set[str], str | None]:
    """List what all these places begin with; give the last key too, if there are more behind it."""
    listing = client.get_paginator("list_objects_v2").paginate(
        Bucket=places[0].bucket,
        Prefix=commonprefix([place.key for place in places]),  # noqa: RUF071  # characters
        PaginationConfig={"MaxItems": _PAGE * (1 + len(places) // _WORTH_A_PAGE)},
    )
    keys = {entry["Key"] for page in listing for entry in page.get("Contents", ())}
    return keys, max(keys, default="") if listing.resume_token else None
