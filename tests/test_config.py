from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tumorlens import config
from tumorlens.errors import ConfigError


def test_the_printed_defaults_are_complete_and_read_back() -> None:
    text = config.to_toml(config.Settings())
    assert config.from_dict(tomllib.loads(text)) == config.Settings()
    for key in config.all_keys():
        assert key.split(".")[-1] + " = " in text


def test_every_setting_has_a_description() -> None:
    lines = config.to_toml(config.Settings()).splitlines()
    settings = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert all(lines[i - 1].startswith("# ") and len(lines[i - 1]) > 8 for i in settings)


def test_a_file_and_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("seed = 7\n[train]\nepochs = 5\nlearning_rate = 0.1\n")
    chosen = config.load(file, ["train.epochs=6", "model.name=plain", "augment.enabled=false"])
    assert (chosen.seed, chosen.train.epochs, chosen.train.learning_rate) == (7, 6, 0.1)
    assert (chosen.model.name, chosen.augment.enabled) == ("plain", False)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "did you mean train.epochs"),
        ("epochs=3", "did you mean train.epochs"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs=0", ">= 1"),
        ("train=3", "section"),
        ("seed.x=3", "seed"),
        ("train.epochs", "section.key=value"),
        ("data.fractions=[0.5, 0.5, 0.5]", "sum to 1"),
        ("model.dropout=1.0", "model.dropout"),
        ("preprocess.recipe=magic", "preprocess.recipe"),
        ("train.keep=lats", "train.keep is 'lats', expected one of best, last"),
        ("train.epochs=0", "a whole number >= 1"),
        ("train.learning_rate=inf", "train.learning_rate is inf, expected a number > 0"),
        ("augment.rotation=nan", "a number >= 0 and <= 180"),
        ("data.fractions=[nan, 0.5, 0.5]", "data.fractions is nan"),
        ("data.fractions=70,15,15", "data.fractions=[0.7,0.15,0.15]"),
        ("data.fractions=[60, 20, 20]", "data.fractions=[0.6,0.2,0.2]"),
        ("train.device=gpu:abc", "auto, cpu, gpu or gpu:N"),
        ("train.device=gpu:-1", "auto, cpu, gpu or gpu:N"),
        ("train.tensorboard=3", "true or false"),
        ("trian.epochs=3", "the section [train]"),
    ],
)
def test_wrong_settings_are_refused_and_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, [override])
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_code == 2


def test_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings file"):
        config.load(tmp_path / "none.toml")
    broken = tmp_path / "b.toml"
    broken.write_text("[train\n")
    with pytest.raises(ConfigError, match="not a TOML file"):
        config.load(broken)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        config.Settings().seed = 3  # type: ignore[misc]


def test_a_callers_settings_may_be_a_dictionary() -> None:
    assert config.as_settings({"train": {"epochs": 3}}).train.epochs == 3
    assert config.as_settings(None) == config.as_settings(config.Settings()) == config.Settings()
    with pytest.raises(ConfigError, match=r"did you mean train\.epochs"):
        config.as_settings({"train": {"epoch": 3}})
    with pytest.raises(ConfigError, match="settings are a int"):
        config.as_settings(3)  # type: ignore[arg-type]
