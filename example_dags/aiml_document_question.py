"""Ask a model about a PDF that lies in S3."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator

DOC = """
### A question about a document

1. **put_document** puts a small PDF into S3, so that the example runs by itself. With `document`, one that is
   there already is asked about instead.
2. **ask** sends it along with the question. The model sees a neutral name, `document-1`, for a file's own
   name can carry instructions. The answer is kept in S3, where a retry reads it instead of paying again.

It needs the connection `aws_default`, a bucket of yours, and access to a model that reads documents.
"""

with DAG(
    dag_id="aiml_document_question",
    description="A PDF in S3 -> a question by Converse",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "bedrock", "documents"],
    params={
        "model_id": Param(
            "amazon.nova-lite-v1:0",
            type="string",
            title="Model",
            description="A model that reads documents.",
            minLength=1,
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "document": Param(
            None,
            type=["null", "string"],
            title="Document",
            description="A PDF in S3, s3://bucket/key; without, one is made.",
            pattern="^s3://.+$",
        ),
        "question": Param(
            "How many pages has the document?",
            type="string",
            title="Question",
            description="What to ask about it.",
            minLength=1,
        ),
    },
) as dag:

    @task
    def put_document(params=None) -> str:
        """Put a PDF of two pages into S3."""
        if params["document"]:
            return params["document"]
        place = ObjectStoragePath(f"s3://{params['bucket']}/documents/report.pdf", conn_id="aws_default")
        place.write_bytes(_pdf(["The turnover rose by 7 percent.", "The costs stayed as they were."]))
        return str(place)

    # [START document]
    document = put_document()
    BedrockConverseOperator(
        task_id="ask",
        model_id="{{ params.model_id }}",
        message="{{ params.question }}",
        documents=[document],
        max_tokens=300,
        output_uri="s3://{{ params.bucket }}/documents/answers/",
        result_expression="{answer: text, tokens: usage.totalTokens}",
    )
    # [END document]


def _pdf(pages: list[str]) -> bytes:
    """Write a PDF with one line of text on each page."""
    count = len(pages)
    kids = " ".join(f"{3 + number} 0 R" for number in range(count))
    font = 3 + 2 * count
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {count} >>"]
    objects += [
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {3 + count + number} 0 R "
        f"/Resources << /Font << /F1 {font} 0 R >> >> >>"
        for number in range(count)
    ]
    drawings = [f"BT /F1 14 Tf 72 760 Td ({text}) Tj ET" for text in pages]
    objects += [f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream" for drawn in drawings]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    body, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    body += f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    body += f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{body.index('xref')}\n%%EOF\n"
    return body.encode("ascii")
