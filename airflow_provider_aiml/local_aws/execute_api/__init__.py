"""The data plane of API Gateway: what a deployed stage does with a request.

It serves the picture that a deployment took, as the real one does, and calls SageMaker Runtime through the
local AWS's own front, so that its faults and its witness see every call.
"""
