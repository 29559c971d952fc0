"""The front door without AWS: how long a template and a thousand local renderings take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_aiml.endpoint_api import EndpointApi, each, item_number, json_template, number

from tables import met, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

SYNTHESIS_BUDGET = 0.05
RENDERINGS = 1_000
RENDERING_BUDGET = 2.0


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Print the figures beside their budgets; the exit status is 1 if one is missed."""
    shape = {"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})}
    api = EndpointApi(
        name="recommender",
        endpoint_name="my-endpoint",
        resource_path="{user_id}",
        request_mapping_template=json_template(shape),
        request_parameters={"items": True},
    )

    def render() -> None:
        for user in range(RENDERINGS):
            api.render_request(path={"user_id": str(user)}, query={"items": "101,131,162"})

    figures = [
        ("the first template of a process", timed(api.template), SYNTHESIS_BUDGET),
        ("a template after that", min(timed(api.template) for _ in range(20)), SYNTHESIS_BUDGET),
        ("the first rendering, airspeed-ext's import in it", timed(api.check_templates), RENDERING_BUDGET),
        (f"{RENDERINGS:,} requests rendered", timed(render), RENDERING_BUDGET),
    ]
    print_table(
        "The API front door, locally",
        ["what", "time", "budget", ""],
        [
            [what, f"{spent * 1000:,.1f} ms", f"≤ {budget * 1000:,.0f} ms", met(spent, budget)]
            for what, spent, budget in figures
        ],
    )
    return int(any(spent > budget for _, spent, budget in figures))


if __name__ == "__main__":
    raise SystemExit(main())
