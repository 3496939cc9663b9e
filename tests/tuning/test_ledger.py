"""What a sweep remembers: over a restart, after damage; and the study that is made of it."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from autosam_platform.tuning.importances import importances
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.space import Space
from autosam_platform.tuning.study import as_study
from autosam_platform.tuning.trials import Trial, pareto_front

TWO = {"a.a": {"type": "float", "low": 0, "high": 1}, "b.b": {"type": "choice", "choices": ["x", "y"]}}
SPACE = Space.model_validate({"parameters": TWO})
BOTH = Space.model_validate({"parameters": TWO, "objectives": {"dice": "max", "trained_parameters": "min"}})


def test_a_ledger_survives_a_kill(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "trials.json", [{"a": 0.2}, {"a": 0.5}])
    first = ledger.begin({"a": 0.5})
    assert (first.number, first.state) == (2, "running")
    first.run, first.made, first.validations = "run-1", True, [(1, 0.25)]
    ledger.save()
    again = Ledger(tmp_path / "trials.json", [{"a": 0.2}, {"a": 0.5}])
    assert [trial.state for trial in again.trials] == ["waiting", "waiting"]  # whoever ran it is gone
    second = again.begin({"a": 0.5})
    assert second == first


def test_values_that_do_not_wait_are_a_new_trial(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "trials.json", [{"a": 0.2}])
    assert [ledger.begin({"a": value}).number for value in (0.2, 0.2, 0.3)] == [1, 2, 3]


@pytest.mark.parametrize("content", ["", '[{"number": 1, "val', '{"number": 1}', "[1]"])
def test_a_damaged_ledger_is_set_aside(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trials.json").write_text(content)
    assert Ledger(tmp_path / "trials.json", [{"a": 0.2}]).trials == [Trial(number=1, values={"a": 0.2})]
    assert "trials.json is damaged" in capsys.readouterr().out
    assert (tmp_path / "trials.broken.json").read_text() == content


def test_the_best_is_a_finished_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "trials.json")
    assert ledger.best() is None
    ledger.trials = [
        Trial(number=1, values={}, state="failed", dice=0.9),
        Trial(number=2, values={}, state="stopped", dice=0.8),
        Trial(number=3, values={}, state="finished", dice=0.5),
        Trial(number=4, values={}, state="finished", dice=0.7),
        Trial(number=5, values={}, state="finished", dice=0.7),
    ]
    best = ledger.best()
    assert best is not None and best.number == 4


REVERSED = Space.model_validate({"parameters": TWO, "objectives": {"trained_parameters": "min", "dice": "max"}})


def _trials() -> list[Trial]:
    return [
        Trial(number=1, values={"a.a": 0.1, "b.b": "x"}, state="finished", dice=0.2, trained_parameters=10),
        Trial(number=2, values={"a.a": 0.2, "b.b": "y"}, state="failed", dice=0.9),
        Trial(number=3, values={"a.a": 0.3, "b.b": "x"}, state="stopped", dice=0.3, trained_parameters=20),
        Trial(number=4, values={"a.a": 0.4, "b.b": "y"}),
    ]


def test_the_study_knows_what_ended_and_asks_for_what_waits() -> None:
    study = as_study(SPACE, _trials())
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
    assert [(trial.params["a.a"], trial.state.name, trial.values) for trial in ended] == [
        (0.1, "COMPLETE", [0.2]),
        (0.2, "FAIL", None),
        (0.3, "COMPLETE", [0.3]),
    ]
    assert study.ask(SPACE.distributions()).params == {"a.a": 0.4, "b.b": "y"}
    assert study.best_trial.params["a.a"] == 0.3


def test_two_objectives_in_the_order_of_the_space() -> None:
    study = as_study(BOTH, _trials())
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.get_trials(states=(TrialState.COMPLETE,))[1].values == [0.3, 20.0]


def _scored(figures: list[tuple[float, int]]) -> list[Trial]:
    return [
        Trial(number=number, values={"a.a": 0.1, "b.b": "x"}, state="finished", dice=dice, trained_parameters=size)
        for number, (dice, size) in enumerate(figures, 1)
    ]


def test_the_front_holds_what_no_other_trial_beats() -> None:
    trials = _scored([(0.5, 100), (0.6, 200), (0.4, 150), (0.6, 250), (0.7, 300)])  # the third and fourth are beaten
    assert [trial.number for trial in pareto_front(trials, BOTH.objectives)] == [1, 2, 5]
    assert [trial.number for trial in pareto_front(trials, SPACE.objectives)] == [5]
    assert pareto_front([], SPACE.objectives) == []
    assert pareto_front([trial for trial in _trials() if trial.state != "finished"], SPACE.objectives) == []


@pytest.mark.parametrize("space", [SPACE, BOTH], ids=["one objective", "two"])
def test_the_front_is_optunas(space: Space) -> None:
    trials = _scored([(place * 7 % 11 / 11, place * 5 % 8) for place in range(100)])  # with ties in one and in both
    found = pareto_front(trials, space.objectives)
    expected = {trial.number + 1 for trial in as_study(space, trials).best_trials}
    assert {trial.number for trial in found} == expected
    assert 0 < len(found) < len(trials)


def test_importances_find_the_parameter_that_matters() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = [
        Trial(number=n, values={"a.a": n / 10, "b.b": "xy"[n % 2]}, state="finished", dice=0.2 + 0.5 * (n % 2))
        for n in range(8)
    ]
    found, why_not = importances(SPACE, trials)
    assert not why_not and sum(found.values()) == pytest.approx(1)
    assert found["b.b"] > 0.9 and list(found) == ["b.b", "a.a"]
    assert importances(SPACE, trials) == (found, "")


def test_importances_are_of_dice_in_whatever_order_the_objectives_are() -> None:
    trials = [
        Trial(number=n, values=values, state="finished", dice=0.2 + 0.5 * (n % 2), trained_parameters=1000 * n)
        for n, values in enumerate({"a.a": n / 10, "b.b": "xy"[n % 2]} for n in range(8))
    ]
    found, _ = importances(BOTH, trials)
    assert found["b.b"] > 0.9  # size follows the other one
    assert importances(REVERSED, trials) == (found, "")


@pytest.mark.parametrize(
    ("count", "dice", "reason"),
    [(3, [0.1, 0.2, 0.3], "3 finished trial"), (4, [0.1] * 4, "the same Dice")],
)
def test_importances_that_say_nothing_are_not_given(count: int, dice: list[float], reason: str) -> None:
    trials = [Trial(number=n, values={"a.a": n / 10, "b.b": "x"}, state="finished", dice=dice[n]) for n in range(count)]
    found, why_not = importances(SPACE, trials)
    assert found == {} and reason in why_not
