"""A model that answers with what it was asked, once a test has opened its gate."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest

FOLDER_VARIABLE = "E2E_PAUSES"


def model(request: ModelRequest) -> ModelAnswer:
    """Wait for the file that the payload's ``gate`` names."""
    gate = Path(os.environ[FOLDER_VARIABLE]) / json.loads(request.body)["gate"]
    while not gate.exists():
        time.sleep(0.1)
    return ModelAnswer(request.body)
