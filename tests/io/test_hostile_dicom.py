"""Hostile DICOM and NIfTI: whatever is sent, there is an image or one typed error, and little memory is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.io import hostile_dicom
from tests.io.test_dicom_codecs import LOSSLESS, LOSSY, encoded, head, written

from tumorlens.errors import InputError

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")
_MIB = 1024


def told(folder: Path, count: int = 0, seed: int = 0) -> dict[str, str]:
    """Outcomes by name; no crash, no exception but ours, within 1 GiB."""
    program = [sys.executable, hostile_dicom.__file__, str(folder), str(count), str(seed)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]  # libjpeg writes to stderr itself, which the command line mutes
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found.pop("MiB") <= _MIB
    known = {"read", "not_found", "empty", "truncated", "corrupt", "not_an_image", "unsupported", "too_large"}
    assert {name: outcome for name, outcome in found.items() if outcome not in known} == {}
    return found


def test_hostile_files_are_refused_by_name(tmp_path: Path) -> None:
    made = hostile_dicom.cases()
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    found = told(tmp_path)
    assert set(found) == set(made)
    # May be read, if that costs little: all pixels are there, and PS3.3 C.7.9 says what a short palette does.
    harmless = {"deflate bomb in a private element", "sequences 10,000 deep", "an element longer than the file",
                "a palette shorter than its pixels"}  # fmt: skip
    assert {name for name, outcome in found.items() if outcome == "read"} <= harmless
    assert found["rows and columns that lie"] in ("truncated", "too_large")
    assert found["fragments without an end"] in ("truncated", "corrupt")
    assert found["an unknown transfer syntax"] == "unsupported"


def test_an_image_of_the_same_making_is_read() -> None:
    """So that the files above are refused for what is wrong with them."""
    from tumorlens import io

    (found,) = io.read_bytes(hostile_dicom.file(hostile_dicom.image()), "scan.dcm")
    assert (found.pixels == hostile_dicom.PIXELS).all()
    packed = hostile_dicom.file(hostile_dicom.deflated(hostile_dicom.image()), hostile_dicom.DEFLATED)
    assert (io.read_bytes(packed, "scan.dcm")[0].pixels == hostile_dicom.PIXELS).all()
    rle = hostile_dicom.palette(65_535, 65_535)
    coloured = hostile_dicom.file(hostile_dicom.image(photometric=b"PALETTE COLOR", after=rle))
    assert io.read_bytes(coloured, "scan.dcm")[0].pixels.shape == (48, 40)
    with pytest.raises(InputError):
        io.read_bytes(hostile_dicom.nifti((5, 5, 50)), "scan.nii")
    assert len(io.read_bytes(hostile_dicom.nifti((5, 5, 5)), "scan.nii")) == 5


def test_mutations_of_every_transfer_syntax(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, (syntax, how) in enumerate({**LOSSLESS, **LOSSY}.items()):
        bits = 8 if syntax in LOSSY else 12
        source = written(tmp_path / f"{number}.dcm", head(bits=bits)[::4, ::4].copy(), bits, frames=1 + number % 2)
        Path(encoded(source, syntax, *how)).rename(seeds / f"{number}.dcm")
        (seeds / f"plain{number}.dcm").write_bytes(Path(source).read_bytes())
    (seeds / "v.nii").write_bytes(hostile_dicom.nifti((5, 5, 5)))
    found = told(seeds, 700, 0)
    assert len(found) == 700
    assert len(set(found.values())) > 3


@pytest.mark.shared
def test_mutations_of_real_files(shared_data: Path, tmp_path: Path) -> None:
    for path in [*(shared_data / "dicom").rglob("*.dcm")]:
        if path.stat().st_size < 600_000:
            (tmp_path / path.name).symlink_to(path)
    assert len(told(tmp_path, 500, 1)) == 500
