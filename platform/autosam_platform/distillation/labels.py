"""The parts that models play in the matched report, by the names that it gives them."""

from typing import Literal

Label = Literal["teacher", "student without distillation", "student"]
TEACHER: Label = "teacher"
TWIN: Label = "student without distillation"
STUDENT: Label = "student"

MEAN = "mean over organs"
"""Takes the place of an organ's name in the line of means."""
