"""Predictions that a page started, in processes of their own."""

import time

from dashboard.components.jobs import predicting


def wait_for(prediction: predicting.PredictionJob) -> str:
    """Wait until it has ended; its state then."""
    for _ in range(3000):  # a machine may be busy
        if (state := predicting.state(prediction, None)) not in predicting.ACTIVE:
            return state
        time.sleep(0.1)
    raise AssertionError(prediction.log.read_text())
