"""The core: what an inference is. No Airflow and no amazon provider; clients and files are passed in."""
