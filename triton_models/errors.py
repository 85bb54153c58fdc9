"""What can be wrong with a request to a model.

RequestError     the request is not what the model's contract says; its text is written for the caller
└── Cancelled    the caller gave up while its answer was being computed
"""


class RequestError(Exception):
    """The request is not what the contract says."""


class Cancelled(RequestError):
    """The caller gave up."""
