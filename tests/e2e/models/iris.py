"""A model that gives one prediction for each row, as the README's first DAG expects."""

from __future__ import annotations

import json

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest


def model(request: ModelRequest) -> ModelAnswer:
    """Call a flower by the length of its petals."""
    rows = json.loads(request.body)["instances"]
    predictions = ["setosa" if row[2] < 2.5 else "virginica" for row in rows]
    return ModelAnswer(json.dumps({"predictions": predictions}).encode(), "application/json")
