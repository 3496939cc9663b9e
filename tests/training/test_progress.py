"""What a fit's worker says reaches whoever looks, once, whichever worker said it."""

from pathlib import Path

from autosam_platform.training.progress import Follower, Progress, ProgressFile, read_progress


class Seen:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: list[int] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, progress: Progress) -> None:
        self.done.append(progress.done)

    def close(self) -> None:
        pass


def _at(done: int) -> Progress:
    return Progress(done, 8, 1, 2, 0.5, 1e-3, None)


def test_each_message_is_shown_once_and_what_an_earlier_fit_left_is_not(tmp_path: Path) -> None:
    place, seen = tmp_path / "progress.json", Seen()
    ProgressFile(place).say("of an earlier fit")
    follower = Follower(place, seen)
    follower.look()
    worker = ProgressFile(place)
    worker.say("one")
    follower.look()
    follower.look()
    worker.say("two")
    worker.say("three")
    worker.show(_at(8))
    follower.close()
    assert seen.messages == ["one", "two", "three"]
    assert seen.done[-1] == 8 and read_progress(place) == _at(8)


def test_a_successor_that_says_as_much_as_its_predecessor_between_two_looks_is_heard(tmp_path: Path) -> None:
    place, seen = tmp_path / "progress.json", Seen()
    follower = Follower(place, seen)
    for start in ("from the start", "from step 7"):
        worker = ProgressFile(place)
        worker.say(start)
        worker.say("NOTE")
        follower.look()
    assert seen.messages == ["from the start", "NOTE", "from step 7", "NOTE"]
