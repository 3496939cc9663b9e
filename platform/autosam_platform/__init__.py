"""Everything around a network: data, training on Ray, evaluation, tracking."""

import os

__version__ = "0.1.0"

# Of what workers print, a job repeats all but Ray's own C++: lines of its log, calls by address, and the raylet's last
# words. They help nobody who uses this, hide what does, and are in Ray's logs in any case (docs/reliability.md). What
# Ray says there of memory and disks is for its users.
_FOR_USERS = "info_message|memory pressure|low on memory|out of memory|% full|no capacity"
_CPP_LINES = (
    rf"^\[[-\d]+ [:,\d]+ [A-Z] \d+ \d+\] (\(\w+\) )?[\w/]+\.(cc|h|cpp):\d+:(?!.*({_FOR_USERS}))",
    r"^[EFIW]\d{4} [\d:.]+ +\d+ \S+\.(cc|h|cpp):\d+\]",
    r"^\[\w+\.cc : \d+\] RAW: ",
    r"^\*\*\* (StackTrace Information|SIG[A-Z]+ received)",
    r"^(PC:)?\s*@ +0x[0-9a-f]+",
    r"\([\w.]*(\+0x[0-9a-f]+)?\) \[0x[0-9a-f]+\]",
    r"^Extension modules: ",
    r"^Raylet is terminated\. Termination is unexpected",
)

# Ray reads these when it is imported, in the driver and in every process it starts; what is set already stays.
SETTINGS_OF_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine by default
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; without it every task warns
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # train.report waits for this poll: 2 s is a third of a short fit
    # Else a worker prints every line twice, and every report in full (its logger is named after a file, so that
    # LoggingConfig does not reach it).
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "|".join(_CPP_LINES),
}
for _name, _value in SETTINGS_OF_RAY.items():
    os.environ.setdefault(_name, _value)
