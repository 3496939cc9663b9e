"""The one kind of error that a person can put right."""


class UserError(Exception):
    """Something a person can put right; the message names the file or value, what is wrong and what to do.

    Jobs and pages show it without a traceback. Any other exception is a fault of ours and keeps its traceback.
    """
