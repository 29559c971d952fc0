"""Sort support tickets by a model that answers in a given shape, into a table."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator

DOC = """
### Ticket triage: text in, rows out

1. **read_tickets** gives the tickets, here those of the form.
2. **triage** asks the model about each of them. The answer is held to a JSON schema: one that does not fit is
   sent back for correction, and what goes on is the validated object.
3. **write_table** writes one CSV row for each ticket to S3.

It needs the connection `aws_default`, a bucket of yours, and access to the model.
"""

# [START triage_schema]
TRIAGE = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["billing", "delivery", "defect", "other"]},
        "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["category", "urgency"],
    "additionalProperties": False,
}
# [END triage_schema]

with DAG(
    dag_id="aiml_ticket_triage",
    description="Support tickets -> Converse with a schema -> a CSV table in S3",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "bedrock", "structured-output"],
    params={
        "model_id": Param(
            "amazon.nova-lite-v1:0",
            type="string",
            title="Model",
            description="A model that the account may use, by its id or its inference profile's.",
            minLength=1,
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "tickets": Param(
            [
                "My invoice shows the billing of two months. Urgency 3.",
                "The delivery has not come for 12 days! Urgency 5.",
                "The display has a defect, a line of dead pixels. Urgency 2.",
            ],
            type="array",
            items={"type": "string", "minLength": 1},
            title="Tickets",
            description="One ticket a line.",
            minItems=1,
        ),
    },
) as dag:

    @task
    def read_tickets(params=None) -> list[str]:
        """Give the tickets."""
        return list(params["tickets"])

    tickets = read_tickets()

    # [START triage]
    triage = BedrockConverseOperator.partial(
        task_id="triage",
        model_id="{{ params.model_id }}",
        system="Sort the support ticket. Answer in the given shape only.",
        output_schema=TRIAGE,
        max_tokens=200,
        output_uri="s3://{{ params.bucket }}/triage/answers/",
    ).expand(message=tickets)
    # [END triage]

    @task
    def write_table(texts, sorted_tickets, params=None, run_id=None) -> dict[str, object]:
        """Write one row for each ticket."""
        import csv
        import io

        rows = [{**found, "ticket": text} for found, text in zip(sorted_tickets, texts, strict=True)]
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=["category", "urgency", "ticket"])
        writer.writeheader()
        writer.writerows(rows)
        place = ObjectStoragePath(f"s3://{params['bucket']}/triage/{run_id}.csv", conn_id="aws_default")
        place.write_text(table.getvalue())
        return {"table": str(place), "categories": [row["category"] for row in rows]}

    write_table(tickets, triage.output)
