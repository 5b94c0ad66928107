"""Draw the example slices of the web page: ``python scripts/examples.py``.

For each class the phantom slice that the shipped model is surest of, so that a first visitor sees what an answer is.
"""

from __future__ import annotations

from pathlib import Path

import cv2

import tumorlens
from tumorlens.data.phantom import make_slices
from tumorlens.inference import Prediction

FOLDER = Path(__file__).parents[1] / "src" / "tumorlens" / "web" / "static" / "examples"
COUNT, SEED = 160, 11


def main() -> None:
    """Write one PNG a class."""
    model = tumorlens.load()
    best: dict[str, tuple[float, bytes]] = {}
    for drawn in make_slices(COUNT, seed=SEED):
        answer = model.predict(drawn.image)
        if not isinstance(answer, Prediction) or answer.predicted != drawn.label:
            continue
        share = answer.probabilities[drawn.label]
        if share > best.get(drawn.label, (0.0, b""))[0]:
            best[drawn.label] = share, cv2.imencode(".png", drawn.image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    FOLDER.mkdir(exist_ok=True)
    for name, (share, content) in sorted(best.items()):
        (FOLDER / f"{name}.png").write_bytes(content)
        print(f"{name}: {share:.1%}, {len(content):,} bytes")


if __name__ == "__main__":
    main()
