"""The API Gateway front door of a SageMaker endpoint: its CloudFormation template and its mapping templates.

All values and decisions, no calls: nothing in here knows Airflow, boto3 or a network.
"""

from airflow_provider_aiml.endpoint_api.api import EndpointApi
from airflow_provider_aiml.endpoint_api.mapping_templates import (
    boolean,
    each,
    item_number,
    item_text,
    json_body,
    json_template,
    number,
    text,
)
from airflow_provider_aiml.endpoint_api.surroundings import Surroundings

__all__ = [
    "EndpointApi",
    "Surroundings",
    "boolean",
    "each",
    "item_number",
    "item_text",
    "json_body",
    "json_template",
    "number",
    "text",
]
