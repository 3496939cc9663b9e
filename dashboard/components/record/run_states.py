"""The states of a run, and the words that pages have for them."""

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
"""As the record has them."""
INTERRUPTED = "INTERRUPTED"
"""Of a run that the record calls RUNNING and no process of this machine makes: it was killed."""

_WORDS = {KILLED: "STOPPED"}  # somebody stopped it, or a sweep did: MLflow has one word for that and for a kill


def in_words(state: str) -> str:
    """A state as pages show it."""
    return _WORDS.get(state, state)
