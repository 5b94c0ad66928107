from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real images beside the repository; a test that asks for them is skipped where they are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real images in {SHARED}")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the cache of the person who runs it."""
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


TINY = ("preprocess.size=48", "model.width=8", "train.epochs=3", "train.batch_size=16", "evaluate.bootstrap=200")


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 phantom slices in class folders; the CSV with patients is ``manifest.csv`` inside."""
    from tumorlens.data.phantom import write_phantom

    return write_phantom(tmp_path_factory.mktemp("phantom") / "set", 240, 5).parent


@pytest.fixture(scope="session")
def finished_run(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of ``compact`` on the phantom."""
    from tumorlens import config
    from tumorlens.pipeline.training import train

    folder = tmp_path_factory.mktemp("runs") / "compact"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return train(phantom_folder / "manifest.csv", settings=config.load(None, TINY), out=folder).folder
