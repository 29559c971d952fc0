"""Asks a real account where the outputs of an asynchronous endpoint go; see ``make system``.

AWS says only that a path extension is "appended" to the endpoint's output path. Four inferences are bought in
the account of the default credential chain, one for each way to write an extension. What SageMaker answers
must be among the places at which this provider would look.
"""

from __future__ import annotations

import argparse
import sys
import uuid

from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from airflow_provider_aiml.inference.output_prediction import candidates, describe_output_base
from airflow_provider_aiml.inference.outputs import Location

EXTENSIONS = ("{}", "{}/inner", "/{}", "{}/")


def main() -> int:
    """Submit, compare, and print a line for each."""
    asked = _arguments()
    hook = SageMakerRuntimeHook(aws_conn_id=None, region_name=asked.region)
    base = describe_output_base(hook.control_client(), asked.endpoint)
    if base is None:
        sys.stdout.write(f"{asked.endpoint} has no output path that can be asked for\n")
        return 1
    wrong = 0
    for pattern in EXTENSIONS:
        name = uuid.uuid4().hex
        extension, filename, inference_id = (
            pattern.format(f"aiml-{name[:8]}"),
            f"{name[:28]}.out",
            f"aiml-{name}",
        )
        answer = hook.invoke_endpoint_async(
            endpoint_name=asked.endpoint,
            content_type=asked.content_type,
            inference_id=inference_id,
            s3_output_path_extension=extension,
            filename=filename,
            **({"input_location": asked.input} if asked.input else {"body": asked.payload.encode()}),
        )
        said = Location.parse(answer["OutputLocation"], "OutputLocation")
        places = [one.output_location for one in candidates(base, extension, filename, inference_id)]
        rank = places.index(said) + 1 if said in places else None
        wrong += rank is None
        sys.stdout.write(
            f"{extension!r}: {said}, {f'candidate {rank}' if rank else 'not among ' + str(places)}\n"
        )
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint", help="an asynchronous endpoint")
    parser.add_argument("--region", help="default: the environment's")
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--input", help="an input on S3; default: the payload, inline")
    parser.add_argument("--payload", default='{"instances": []}')
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
