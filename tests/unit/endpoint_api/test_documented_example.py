"""What docs/endpoint-api.md shows of trying templates."""

from __future__ import annotations

import json


def test_templates_can_be_tried_before_they_are_deployed():
    # [START try_templates]
    from airflow_provider_aiml.endpoint_api import EndpointApi, each, item_number, json_template, number

    api = EndpointApi(
        name="ratings",
        endpoint_name="my-endpoint",
        resource_path="{user_id}",
        request_parameters={"items": True},
        request_mapping_template=json_template(
            {"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})}
        ),
    )
    asked = api.render_request(path={"user_id": "321"}, query={"items": "101,131"})
    answered = api.render_response(status=400, body={"message": None})

    assert json.loads(asked) == {"instances": [{"in0": [321], "in1": [101]}, {"in0": [321], "in1": [131]}]}
    assert answered.status == 429
    # [END try_templates]
