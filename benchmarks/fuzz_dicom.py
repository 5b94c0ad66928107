"""Ten minutes of coverage-guided fuzzing of the DICOM and NIfTI readers: no crash, nothing untyped, 5 s, 1 GiB.

Command: ``pip install atheris``, then ``PYTHONPATH=. python benchmarks/fuzz_dicom.py CORPUS -max_total_time=600``.
CORPUS is a folder that is filled with hostile and small real files first and grows while it runs; other options are
libFuzzer's. A finding ends it with the input in ``crash-…``, ``timeout-…`` or ``oom-…``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tumorlens.io", "pydicom", "nibabel"]):
    import nibabel  # noqa: F401 - imported when it is needed, and by then it has to be instrumented
    import pydicom
    import pydicom.encaps
    import pydicom.pixels  # noqa: F401

    from tumorlens import io
    from tumorlens.errors import InputError
    from tumorlens.io import dicom, nifti  # noqa: F401

_SMALL = 20_000


def one(content: bytes) -> None:
    """Whatever it is: an image, or an error of ours."""
    name = "scan.nii" if content[344:347] == b"n+1" else "scan.dcm"
    try:
        for item in io.stream_bytes(content, name):
            assert item.pixels.ndim == 2
    except InputError:
        return


def seeds(corpus: Path) -> None:
    """Small files to start from."""
    from tests.io import hostile_dicom

    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(hostile_dicom.cases().values()):
        if len(content) < _SMALL:
            (corpus / f"hostile{number}").write_bytes(content)
    (corpus / "image").write_bytes(hostile_dicom.file(hostile_dicom.image()))
    packed = hostile_dicom.deflated(hostile_dicom.image())
    (corpus / "deflated").write_bytes(hostile_dicom.file(packed, hostile_dicom.DEFLATED))
    real = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"
    for path in real.rglob("*.dcm") if real.is_dir() else ():
        if path.stat().st_size < 4 * _SMALL:
            (corpus / path.name).write_bytes(path.read_bytes())


def main() -> None:
    """Fuzz."""
    seeds(Path(next(one for one in sys.argv[1:] if not one.startswith("-"))))
    atheris.Setup([*sys.argv, "-timeout=5", "-rss_limit_mb=1024"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
