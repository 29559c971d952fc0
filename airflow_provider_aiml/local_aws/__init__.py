"""A local AWS for demos and tests, with real model processes behind it.

In a test: ``with LocalAws(demo=False) as aws:``; for a demo: ``python -m airflow_provider_aiml.local_aws``.
It needs the extra ``local``. It imports nothing else of this provider: a stand-in that shares code with what
it tests hides faults.
"""

from __future__ import annotations

from airflow_provider_aiml.local_aws.control import ControlError, LocalAwsControl
from airflow_provider_aiml.local_aws.server import LocalAws
from airflow_provider_aiml.local_aws.witness import Invocation

__all__ = ["ControlError", "Invocation", "LocalAws", "LocalAwsControl"]
