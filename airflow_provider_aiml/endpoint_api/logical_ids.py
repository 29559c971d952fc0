"""The names of the resources in our template. A renamed resource is a replaced one, so they stay."""

from __future__ import annotations

__all__ = [
    "ACCOUNT",
    "API_KEY",
    "CLOUDWATCH_ROLE",
    "DEPLOYMENT",
    "INVOKE_POLICY",
    "INVOKE_ROLE",
    "LOG_GROUP",
    "METHOD",
    "NAME_RESOURCE",
    "PATH_RESOURCE",
    "REQUEST_MODEL",
    "REQUEST_VALIDATOR",
    "REST_API",
    "STAGE",
    "USAGE_PLAN",
    "USAGE_PLAN_KEY",
]

REST_API = "RestApi"
LOG_GROUP = "AccessLogGroup"
REQUEST_VALIDATOR = "RequestValidator"
REQUEST_MODEL = "RequestModel"
NAME_RESOURCE = "NameResource"
PATH_RESOURCE = "PathResource"
"""The first segment of ``resource_path``; further ones have their number behind it."""
METHOD = "Method"
INVOKE_ROLE = "InvokeRole"
INVOKE_POLICY = "InvokePolicy"
"""In a template a digest of what it allows is behind it, but in the construct profile or with another name;
``overrides`` name it without."""
CLOUDWATCH_ROLE = "CloudWatchRole"
ACCOUNT = "Account"
DEPLOYMENT = "Deployment"
"""In a template a digest of what it serves is behind it; ``overrides`` name it without."""
STAGE = "Stage"
USAGE_PLAN = "UsagePlan"
API_KEY = "ApiKey"
USAGE_PLAN_KEY = "UsagePlanKey"
