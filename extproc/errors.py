"""All errors with which a request fails in the filter. Each knows its HTTP status and its `code`.

GatewayError
├── InvalidRequest       400 invalid_request
├── ModelNotFound        400 model_not_found
├── MethodNotAllowed     405 method_not_allowed
├── NotFound             404 not_found
├── RequestTooLarge      413 request_too_large
├── ContextTooLong       413 context_length_exceeded
├── UnsupportedEncoding  415 unsupported_encoding
├── ApiError             the endpoint's status, api_error
│   └── BadApiAnswer     502 bad_upstream_answer
├── PromptRejected       the status in the guard's `on_exception`, prompt_rejected
├── GuardUnavailable     503 guard_unavailable
├── ModelUnavailable     503 model_unavailable
├── BadUpstreamAnswer    502 bad_upstream_answer
├── UpstreamTimeout      504 upstream_timeout
│   └── ApiTimeout       the same, from an endpoint
└── InternalError        500 internal_error: a bug in the filter
"""

from __future__ import annotations

from typing import ClassVar, Final

# Response headers that name the kind of error. The error target gets them as request headers.
FUNCTION_CODE: Final = "x-function-error-code"
GUARD_CODE: Final = "x-prompt-guard-error-code"


class GatewayError(Exception):
    """An error that a client reads.

    `message` names the thing and the way out. It holds no keys, prompts or stack traces.
    `public_message`: the text for end users, if `message` names endpoints, models or providers.
    """

    public_message: ClassVar[str | None] = None
    status: int = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "api_error"

    def __init__(self, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class ModelNotFound(GatewayError):
    public_message = "The model that this request names is not served: leave `model` out, or name another one."
    status = 400
    code = "model_not_found"
    type = "invalid_request_error"


class NotFound(GatewayError):
    status = 404
    code = "not_found"
    type = "invalid_request_error"


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"


class RequestTooLarge(GatewayError):
    status = 413
    code = "request_too_large"
    type = "invalid_request_error"


class ContextTooLong(GatewayError):
    """The request holds more text than the guards can read in time."""

    status = 413
    code = "context_length_exceeded"
    type = "invalid_request_error"


class UnsupportedEncoding(GatewayError):
    """The body is compressed. The filter does not decompress it, so no guard could read it."""

    status = 415
    code = "unsupported_encoding"
    type = "invalid_request_error"


class ApiError(GatewayError):
    """A prompt target's endpoint did not answer with 2xx; the client gets its status."""

    public_message = "An API that this prompt needs failed: try again later."
    code = "api_error"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, headers=((FUNCTION_CODE, str(status)),))
        self.status = status


class BadApiAnswer(ApiError):
    """The answer of a prompt target's endpoint cannot be used: a redirect, malformed, broken off or too large."""

    code = "bad_upstream_answer"

    def __init__(self, message: str) -> None:
        super().__init__(message, 502)


class PromptRejected(GatewayError):
    """A guard blocked the prompt, and its `on_exception` asks for a 4xx rather than a completion."""

    code = "prompt_rejected"
    type = "invalid_request_error"

    def __init__(self, message: str, status: int, guard: str) -> None:
        super().__init__(message, headers=((GUARD_CODE, guard),))
        self.status = status


class GuardUnavailable(GatewayError):
    status = 503
    code = "guard_unavailable"


class ModelUnavailable(GatewayError):
    public_message = "The prompt cannot be understood at the moment: try again later."
    status = 503
    code = "model_unavailable"


class BadUpstreamAnswer(GatewayError):
    """The answer of an LLM provider must be edited and cannot be."""

    status = 502
    code = "bad_upstream_answer"


class UpstreamTimeout(GatewayError):
    status = 504
    code = "upstream_timeout"


class ApiTimeout(UpstreamTimeout):
    """A prompt target's endpoint did not answer in time."""

    public_message = "An API that this prompt needs gave no answer in time: try again later."

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=((FUNCTION_CODE, str(self.status)),))


class InternalError(GatewayError):
    """A bug in the filter. The log has the stack trace, the client does not."""
