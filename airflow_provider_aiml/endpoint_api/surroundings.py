"""What is in the account beside the stack, as far as a template depends on it.

CloudFormation cannot ask "is there one already?" without a custom resource. So whoever deploys asks before,
with two reads, and says here what was found. **A resource that the stack itself holds counts as absent**: it
must stay in the template, or CloudFormation would take it out at the next deploy.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What others, or an earlier stack, have left in the account and region.

    :param has_logging_role: apigateway:GetAccount names a CloudWatch role, and this stack does not hold both
        resources :data:`~airflow_provider_aiml.endpoint_api.logical_ids.ACCOUNT` and
        :data:`~airflow_provider_aiml.endpoint_api.logical_ids.CLOUDWATCH_ROLE`: the first alone sets a
        role that is not its own. Default: False.
    :param has_old_route: the stack holds a method or path that this template takes out. A deployment is made
        while that is still there, and would serve it for good; so the template is only for the way, with a
        deployment under an id of its own, and the one without this follows. Default: False.
    :param has_log_group: there is a log group of the API's ``log_group_name``, and this stack does not hold
        it: an earlier stack was deleted, or this one used another name since, and log groups are kept.
        Default: False.

    https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html
    """

    has_logging_role: bool = False
    has_old_route: bool = False
    has_log_group: bool = False
