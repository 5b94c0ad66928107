from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import tumorlens
from tumorlens.cli.main import COMMANDS

Command = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = (
    "keras",
    "tensorflow",
    "matplotlib",
    "pandas",
    "altair",
    "seaborn",
    "sklearn",
    "scipy",
    "onnx",
    "tf2onnx",
    "torch",
    "jax",
)
# The contract's commands that exist by now; further ones join this list as they come.
CONTRACT = ("train", "audit", "evaluate", "predict", "split", "phantom", "info", "config")


def loaded_after(code: str) -> set[str]:
    """The top-level modules in memory after running ``code`` in a fresh interpreter."""
    words = [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return {name.partition(".")[0] for name in found.stderr.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        "import tumorlens",
        "import tumorlens.report, tumorlens.inference, tumorlens.evaluation, tumorlens.data",
        "from tumorlens import read, load, split, evaluate",
        "from tumorlens.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        *(
            f"from tumorlens.cli.main import main\ntry: main(['{name}', '--help'])\nexcept SystemExit: pass"
            for name in CONTRACT
        ),
        "from tumorlens.cli.main import main\nmain(['config'])",
    ],
)
def test_what_needs_no_keras_does_not_load_it(code: str):
    assert not loaded_after(code) & set(HEAVY)


def test_importing_costs_next_to_nothing():
    assert not loaded_after("import tumorlens") & {"numpy", "cv2", "onnxruntime", "rich", "msgspec", "PIL"}


def test_every_public_name_can_be_loaded():
    for name in tumorlens.__all__:
        assert getattr(tumorlens, name) is not None
    assert set(tumorlens.__all__) <= set(dir(tumorlens))


@pytest.mark.parametrize("name", CONTRACT)
def test_the_commands_of_the_contract_exist(name: str, command: Command):
    assert name in COMMANDS
    text = command(name, "--help").stdout
    assert text.startswith(f"usage: tumorlens {name}")
    assert "--verbose" in text
    assert "--quiet" in text
    assert "Research use only" in text


def test_help_lists_every_command(command: Command):
    text = command("--help").stdout
    first = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert all(name in first for name in COMMANDS)
    assert "Research use only" in text


def test_the_version(command: Command):
    assert command("--version").stdout.strip() == f"tumorlens {tumorlens.__version__}"


@pytest.mark.parametrize("arguments", [[], ["diagnose"], ["train"], ["train", "--epoch", "3", "phantom"], ["evaluate"]])
def test_wrong_usage_exits_with_2_and_no_traceback(command: Command, arguments: list[str]):
    found = command(*arguments, code=2)
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


def test_config_prints_settings_that_can_be_read_back(command: Command, tmp_path: Path):
    text = command("config", "--set", "train.epochs=3").stdout
    assert tomllib.loads(text)["train"]["epochs"] == 3
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    assert command("config", "--config", tmp_path / "my.toml").stdout == text


def test_json_is_one_document_on_stdout(command: Command, small_run: Path, tmp_path: Path):
    import json

    command("phantom", tmp_path / "p", "--count", "24", "--seed", "7", "-q")  # pictures it was not trained on
    found = command("evaluate", small_run, tmp_path / "p" / "manifest.csv", "--json", "--set", "evaluate.bootstrap=100")
    assert json.loads(found.stdout)["n"] == 24
    answers = json.loads(command("predict", tmp_path / "p" / "glioma", "--model", small_run, "--format", "json").stdout)
    assert {"id", "predicted", "probabilities", "verdict", "model"} <= set(answers[0])
    assert json.loads(command("info", small_run, "--json").stdout)["labels"] == [
        "glioma",
        "meningioma",
        "no_tumor",
        "pituitary",
    ]
