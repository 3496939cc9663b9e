"""What a job is asked before it works, it answers without what takes seconds to import."""

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG_S

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "monai")

# Every job in turn, in one fresh process: what any of them imports stays in sys.modules, and is blamed on the first.
PROGRAM = """
import contextlib, io, json, runpy, sys
sys.path.insert(0, "jobs")
questions, heavy = json.loads(sys.argv[1])
answers = []
for question in questions:
    sys.argv = [f"jobs/{question[0]}.py", *question[1:]]
    said, status = io.StringIO(), None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
    answers.append([status, said.getvalue(), [name for name in heavy if name in sys.modules]])
print(json.dumps(answers))
"""

JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if not path.stem.startswith("_"))
FURTHER = [("sweep", "--space", "adapter", "--trials", "3"), ("train_baseline", "--model", "unetr", "--recipe", "demo")]
QUESTIONS = [
    (*job, question)
    for job in [*((name,) for name in JOBS), *FURTHER]
    for question in ("--help", "--check", "--schema")
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], tuple[int, str, list[str]]]:
    """Exit status, text and heavy modules of every question."""
    environment = {"PATH": "/usr/bin:/bin", "AUTOSAM_WORKSPACE": str(tmp_path_factory.mktemp("workspace"))}
    command = [sys.executable, "-c", PROGRAM, json.dumps([QUESTIONS, HEAVY])]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return dict(zip(QUESTIONS, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_a_job_answers_without_torch_ray_or_monai(
    answers: dict[tuple[str, ...], tuple[int, str, list[str]]], question: tuple[str, ...]
) -> None:
    status, said, heavy = answers[question]
    assert status == 0, said
    assert not heavy
    assert said.strip()


@pytest.mark.parametrize("name", JOBS)
def test_examples_in_help_keep_their_lines(
    answers: dict[tuple[str, ...], tuple[int, str, list[str]]], name: str
) -> None:
    told = ast.get_docstring(ast.parse((ROOT / "jobs" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    examples = [line for line in told.splitlines() if f"jobs/{name}.py" in line]
    assert examples and set(examples) <= set(answers[name, "--help"][1].splitlines())


def test_every_job_is_asked() -> None:
    assert {"train_teacher", "train_baseline", "distill_student", "sweep", "evaluate", "predict"} <= set(JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_a_python_without_the_packages_is_named_in_a_sentence(job: str) -> None:
    command = [sys.executable, "-S", f"jobs/{job}.py"]  # -S: nothing that is installed is found
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 1 and not done.stdout
    assert f"{sys.executable}, does not have the project's packages" in done.stderr
    assert "make setup" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_while_a_job_imports_ends_in_a_sentence() -> None:
    imports = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in the background
    imports += "import sys, time; sys.path.insert(0, 'jobs'); import _roots; print(flush=True)"
    command = [sys.executable, "-c", f"{imports}; time.sleep({HANG_S})"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == -signal.SIGINT
    assert said == "\nInterrupted: the same command continues.\n"
