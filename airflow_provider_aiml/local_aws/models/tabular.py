"""The demo's model: a classifier of breast tumours, trained at start on scikit-learn's own data.

It takes 30 features a row, as JSON ``{"instances": [[…], …]}`` or as CSV, and gives for each row a label
(``malignant`` or ``benign``) and its probability, as JSON or, if ``Accept`` asks for it, as CSV. Anything
else it rejects with a status of 400 or 415 and says why.
"""

from __future__ import annotations

import csv
import io
import json
import math
from functools import cache
from typing import Any

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest

FEATURES = 30
_Rows = list[list[float]]


class RejectedError(Exception):
    """The payload is not what this model takes.

    :param status: the status of the container's answer.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@cache
def load() -> Any:
    """Train the classifier; the same data and seed give the same model each time."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=0))
    classifier.fit(data.data, data.target)
    return classifier, [str(name) for name in data.target_names]


def model(request: ModelRequest) -> ModelAnswer:
    """Classify each row."""
    try:
        rows = _checked(_read(request))
        predictions = _classify(rows)
    except RejectedError as rejection:
        return ModelAnswer(str(rejection).encode(), "text/plain", rejection.status)
    if _media_type(request.headers.get("accept", "")) == "text/csv":
        lines = "".join(f"{one['label']},{one['probability']}\n" for one in predictions)
        return ModelAnswer(lines.encode(), "text/csv")
    return ModelAnswer(json.dumps({"predictions": predictions}).encode(), "application/json")


def _classify(rows: _Rows) -> list[dict[str, Any]]:
    classifier, names = load()
    return [
        {"label": names[int(chances.argmax())], "probability": round(float(chances.max()), 6)}
        for chances in classifier.predict_proba(rows)
    ]


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _read(request: ModelRequest) -> Any:
    content_type = _media_type(request.headers.get("content-type", ""))
    if content_type == "application/json":
        return _instances(request.body)
    if content_type == "text/csv":
        return _csv_rows(request.body)
    raise RejectedError(
        f"cannot read {content_type or 'a body without a content type'}: send JSON or CSV", 415
    )


def _instances(body: bytes) -> Any:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise RejectedError("the body is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
        raise RejectedError('the body must be {"instances": [[30 numbers], ...]}')
    return document["instances"]


def _csv_rows(body: bytes) -> _Rows:
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8")), strict=True)
        return [[float(cell) for cell in line] for line in lines if line]
    except (ValueError, csv.Error) as error:
        raise RejectedError("the body is not CSV of numbers in UTF-8") from error


def _checked(rows: Any) -> _Rows:
    if not rows:
        raise RejectedError("there is no row to classify")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != FEATURES:
            found = f"{len(row)} features" if isinstance(row, list) else type(row).__name__
            raise RejectedError(f"row {number} has {found}, the model takes {FEATURES}")
        if not all(_is_number(cell) for cell in row):
            raise RejectedError(f"row {number} holds something that is not a finite number")
    found_rows: _Rows = rows
    return found_rows


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
