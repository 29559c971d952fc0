"""Put an API before a SageMaker endpoint, call it, change it without downtime, and tear it down."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, task
from airflow_provider_aiml.endpoint_api import each, item_number, json_template
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeleteOperator,
    ApiGatewaySageMakerDeployOperator,
    ApiGatewaySageMakerInvokeOperator,
)

DOC = """
### An API in front of a SageMaker endpoint

1. **deploy** creates one CloudFormation stack: a REST API whose callers sign with IAM, a role that may invoke
   the endpoint and nothing else, an access log. The mapping templates are tried before anything is deployed.
2. **classify** calls it. The stage takes few requests a second, so it may be throttled and try again.
3. **classify_nothing** leaves the parameter out. It fails on purpose: the gateway refuses the call, and the
   model is not asked.
4. **call_too_fast** sends more than the stage takes, and counts what was answered and what was throttled.
5. **change** gives the answer another shape, by a change set. The API serves all the while, under one URL.
6. **move** puts the API before another endpoint, **classify_throttled** calls it there, once. It fails on
   purpose: SageMaker throttles that endpoint, and a caller of the API is told so by status 429.
7. **delete** takes all away but the access log and the account's logging role, whatever came before.

It needs the connection `aws_default`, the permissions in docs/permissions.md, and an endpoint that takes 30
features a row and answers `{"predictions": [{"label": "malignant" | "benign", ...}]}`. The other endpoint is
one that is throttled, as `demo-throttled` of the local AWS is; with any other, **classify_throttled**
succeeds.
"""

# A row of scikit-learn's breast-cancer data; its tumour is malignant.
FEATURES = (
    "17.99,10.38,122.8,1001,0.1184,0.2776,0.3001,0.1471,0.2419,0.07871,1.095,0.9053,8.589,153.4,0.006399,"
    "0.04904,0.05373,0.01587,0.03003,0.006193,25.38,17.33,184.6,2019,0.1622,0.6656,0.7119,0.2654,0.4601,0.1189"
)

with DAG(
    dag_id="aiml_endpoint_api",
    description="API Gateway -> SageMaker endpoint: deploy, call, change, delete",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    default_args={
        "deferrable": True,
        "retries": 2,
        # Short pauses, for a demo: leave them out where each look and each try counts.
        "waiter_delay": 2,
        "retry_delay": timedelta(seconds=5),
    },
    tags=["aiml", "sagemaker", "api-gateway"],
    params={
        "endpoint_name": Param(
            "demo-tabular",
            type="string",
            title="Endpoint",
            description="The SageMaker endpoint that the API calls.",
            pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        ),
        "throttled_endpoint_name": Param(
            "demo-throttled",
            type="string",
            title="Throttled endpoint",
            description="A SageMaker endpoint that is throttled.",
            pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        ),
        "stack_name": Param(
            "aiml-demo-api",
            type="string",
            title="Stack",
            description="The CloudFormation stack that is created and deleted.",
            pattern="^[a-zA-Z][a-zA-Z0-9-]{0,127}$",
        ),
    },
) as dag:
    # [START endpoint_api]
    api = {
        "name": "tumours",
        "endpoint_name": "{{ params.endpoint_name }}",
        "resource_path": "tumours",
        "request_parameters": {"features": True},
        "request_mapping_template": json_template({"instances": [each("features", item_number())]}),
        "throttle_rate_limit": 2,
        "throttle_burst_limit": 3,
    }
    deploy = ApiGatewaySageMakerDeployOperator(
        task_id="deploy", stack_name="{{ params.stack_name }}", api=api, multiple_outputs=True
    )
    classify = ApiGatewaySageMakerInvokeOperator(
        task_id="classify", url=deploy.output["url"], path="tumours", query={"features": FEATURES}
    )
    # [END endpoint_api]

    classify_nothing = ApiGatewaySageMakerInvokeOperator(
        task_id="classify_nothing", url=deploy.output["url"], path="tumours"
    )

    @task(trigger_rule="all_done")
    def call_too_fast(url: str) -> dict[str, int]:
        """Send ten calls at once, each only once, and count what became of them."""
        from concurrent.futures import ThreadPoolExecutor

        from airflow_provider_aiml.exceptions import BusyError
        from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook

        hook = ApiGatewaySageMakerHook(retry_args={"attempts": 1})

        def call(_: int) -> bool:
            try:
                hook.invoke(url=url, path="tumours", query={"features": FEATURES})
            except BusyError:
                return False
            return True

        call(0)  # The connection is read once, before the threads need it.
        with ThreadPoolExecutor(10) as callers:
            answered = list(callers.map(call, range(10)))
        if all(answered):
            raise ValueError("Not one of ten calls was throttled")
        return {"answered": answered.count(True), "throttled": answered.count(False)}

    change = ApiGatewaySageMakerDeployOperator(
        task_id="change",
        stack_name="{{ params.stack_name }}",
        api={**api, "response_mapping_template": '{"tumour": $input.json("$.predictions[0].label")}'},
        multiple_outputs=True,
    )
    classify_again = ApiGatewaySageMakerInvokeOperator(
        task_id="classify_again",
        url=change.output["url"],
        path="tumours",
        query={"features": FEATURES},
        result_expression="body",
    )
    move = ApiGatewaySageMakerDeployOperator(
        task_id="move",
        stack_name="{{ params.stack_name }}",
        api={**api, "endpoint_name": "{{ params.throttled_endpoint_name }}"},
        multiple_outputs=True,
    )
    classify_throttled = ApiGatewaySageMakerInvokeOperator(
        task_id="classify_throttled",
        url=move.output["url"],
        path="tumours",
        query={"features": FEATURES},
        retry_args={"attempts": 1},
        retries=0,
    )
    # [START endpoint_api_delete]
    delete = ApiGatewaySageMakerDeleteOperator(
        task_id="delete", stack_name="{{ params.stack_name }}", trigger_rule="all_done"
    )
    # [END endpoint_api_delete]
    deploy >> [classify, classify_nothing] >> call_too_fast(deploy.output["url"]) >> change
    classify_again >> move
    classify_throttled >> delete
