"""The types of resources that the local CloudFormation can make."""

from airflow_provider_aiml.local_aws.cloudformation.resource_types.api import (
    ApiModel,
    ApiResource,
    Deployment,
    Method,
    RequestValidator,
    RestApi,
)
from airflow_provider_aiml.local_aws.cloudformation.resource_types.iam import Policy, Role
from airflow_provider_aiml.local_aws.cloudformation.resource_types.logs import LogGroup
from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import ResourceType
from airflow_provider_aiml.local_aws.cloudformation.resource_types.stage import (
    Account,
    ApiKey,
    Stage,
    UsagePlan,
    UsagePlanKey,
)

__all__ = ["RESOURCE_TYPES"]

RESOURCE_TYPES: dict[str, ResourceType] = {
    "AWS::ApiGateway::Account": Account(),
    "AWS::ApiGateway::ApiKey": ApiKey(),
    "AWS::ApiGateway::Deployment": Deployment(),
    "AWS::ApiGateway::Method": Method(),
    "AWS::ApiGateway::Model": ApiModel(),
    "AWS::ApiGateway::RequestValidator": RequestValidator(),
    "AWS::ApiGateway::Resource": ApiResource(),
    "AWS::ApiGateway::RestApi": RestApi(),
    "AWS::ApiGateway::Stage": Stage(),
    "AWS::ApiGateway::UsagePlan": UsagePlan(),
    "AWS::ApiGateway::UsagePlanKey": UsagePlanKey(),
    "AWS::IAM::Policy": Policy(),
    "AWS::IAM::Role": Role(),
    "AWS::Logs::LogGroup": LogGroup(),
}
