"""What a network starts from: the layers that find and describe are taken over, what names the class is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorlens.config import ModelSettings
from tumorlens.errors import ConfigError
from tumorlens.models import registry, start
from tumorlens.models.keras_setup import prepare


def network(name: str = "guided", seed: int = 1, **settings: Any) -> Any:
    prepare("cpu", "float32", True, seed)
    return registry.build(ModelSettings(name=name, **settings), 64, 3)


def values(model: Any) -> dict[str, np.ndarray]:
    return {variable.path: np.asarray(variable) for variable in model.weights}


@pytest.mark.parametrize("name", ["compact", "guided"])
def test_the_shipped_weights_fit_all_but_the_head(name: str) -> None:
    model = network(name)
    before = values(model)
    said = start.begin(model, "phantom")
    after = values(model)
    same = [path for path in before if (before[path] == after[path]).all()]
    assert {path for path in same if path.endswith("/kernel")} == {"logits/kernel"}
    assert said.startswith("first weights: those that ship, learned from drawn heads")
    assert said.endswith(f"{len(before) - 2} of {len(before) - 2}")
    output = model.predict_on_batch(np.random.default_rng(0).random((2, 64, 64, 1)).astype(np.float32))
    assert all(np.isfinite(array).all() for array in output.values())


def test_nothing_to_start_from_changes_nothing() -> None:
    model = network()
    before = values(model)
    assert start.begin(model, "") == ""
    assert all((before[path] == array).all() for path, array in values(model).items())


def test_an_earlier_run_is_taken_up(tmp_path: Path) -> None:
    earlier = network(seed=5)
    (tmp_path / "checkpoints").mkdir()
    earlier.save(tmp_path / "checkpoints" / "model.keras")
    for place in (tmp_path, tmp_path / "checkpoints" / "model.keras"):
        model = network(seed=6)
        start.begin(model, str(place))
        found, wanted = values(model), values(earlier)
        assert all((found[path] == wanted[path]).all() for path in wanted if not path.startswith("logits/"))
        assert (found["logits/kernel"] != wanted["logits/kernel"]).any()


def test_the_trunk_of_guided_serves_compact(tmp_path: Path) -> None:
    earlier = network("guided", seed=5)
    earlier.save(tmp_path / "guided.keras")
    model = network("compact", seed=6)
    start.begin(model, str(tmp_path / "guided.keras"))
    assert (values(model)["s2b1_conv1/kernel"] == values(earlier)["s2b1_conv1/kernel"]).all()


@pytest.mark.parametrize(("name", "settings"), [("plain", {}), ("guided", {"width": 8})])
def test_another_network_is_refused(name: str, settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="another network"):
        start.begin(network(name, **settings), "phantom")


def test_what_is_not_there_or_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to start from"):
        start.check(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nothing to start from"):
        start.check(str(tmp_path))
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04 but no more than that")
    with pytest.raises(ConfigError, match="no Keras model"):
        start.begin(network(), str(broken))
