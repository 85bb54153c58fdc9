"""Errors of a request to a model.

RequestError     the request is invalid; the message is for the caller
└── Cancelled    the caller cancelled the request while it was computed
"""


class RequestError(Exception):
    """The request is invalid."""


class Cancelled(RequestError):
    """The caller cancelled the request."""
