"""What can go wrong between a person and a form; codes are those of Dify's later versions."""

from __future__ import annotations

from dify_kernel.errors import BadInput, DifyError, NotFound

__all__ = ["FormExpired", "FormNotFound", "FormSubmitted", "InvalidFormData", "NotForTheApi", "RunBusy"]


class FormNotFound(NotFound):
    """There is no such form, the link is not ours, or the form belongs to somebody else."""


class FormSubmitted(DifyError):
    """Somebody has answered already: the first answer counts."""

    code = "human_input_form_submitted"
    status = 412


class FormExpired(DifyError):
    """Time is up, or the run has ended without an answer."""

    code = "human_input_form_expired"
    status = 412


class InvalidFormData(BadInput):
    """The answer does not fit the form; `field` names the part that does not."""

    code = "invalid_form_data"


class NotForTheApi(BadInput):
    """The form is sent to somebody by another way than the app."""

    code = "bad_request"


class RunBusy(DifyError):
    """The run is still at work in some process; it can take the answer when it has nothing else to do."""

    code = "run_busy"
    status = 409
    retryable = True
