# syntax=docker/dockerfile:1
# Airflow with this provider installed from its wheel, as a user would install it. No secret is baked in.
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY airflow_provider_aiml ./airflow_provider_aiml
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM apache/airflow:3.3.2-python3.11
COPY --from=wheel /dist /tmp/dist
COPY constraints.txt /tmp/constraints.txt
# Airflow itself is named, so that it stays what the base image has; "local" brings the local AWS service.
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt \
        "apache-airflow==${AIRFLOW_VERSION}" "$(echo /tmp/dist/*.whl)[local]" \
    && mkdir -p /opt/airflow/auth
