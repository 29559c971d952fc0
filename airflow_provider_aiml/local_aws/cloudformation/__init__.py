"""CloudFormation for the resource types of an API Gateway in front of SageMaker.

Moto's own drops mapping templates, takes no update of an API and never rolls back; this engine applies each
resource through moto's API Gateway, IAM and Logs APIs, one after the other in the order of their references.
"""
