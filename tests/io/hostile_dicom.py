"""Hostile DICOM and NIfTI files, and a program that reads them and says what became of each; the tests run it.

Run: ``python hostile_dicom.py FOLDER COUNT SEED``: the files of a folder, or COUNT mutations of them. One JSON line per
file: name, outcome (code of the error, ``read``, or the name of an exception that must not be), then one with the most
memory that was used, in MiB.
"""

from __future__ import annotations

import json
import random
import re
import resource
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

EXPLICIT, DEFLATED, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
PIXELS = np.add.outer(np.arange(48), np.arange(40)).astype("<u2")


def element(group: int, number: int, kind: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian (PS3.5 7.1.2); its length may lie."""
    value += b"\0" * (len(value) % 2)
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", group, number, kind.encode())
    long = kind in ("OB", "OW", "SQ", "UN", "UT")
    return head + (struct.pack("<2xI", size) if long else struct.pack("<H", size)) + value


def short(group: int, number: int, value: int) -> bytes:
    """An element of one unsigned 16-bit number."""
    return element(group, number, "US", struct.pack("<H", value))


def file(body: bytes, syntax: str = EXPLICIT, before: bytes = b"", said: int | None = None) -> bytes:
    """Preamble, file meta group (with something before the transfer syntax) and data set (PS3.10 7.1)."""
    meta = before + element(2, 2, "UI", b"1.2.840.10008.5.1.4.1.1.4") + element(2, 3, "UI", b"1.2.3")
    meta += element(2, 0x10, "UI", syntax.encode())
    length = struct.pack("<I", len(meta) if said is None else said)
    return b"\0" * 128 + b"DICM" + element(2, 0, "UL", length) + meta + body


def implicit_meta(body: bytes) -> bytes:
    """Deflated, with a file meta group that has no value representations."""
    uid = DEFLATED.encode()
    return b"\0" * 128 + b"DICM" + struct.pack("<HHI", 2, 0x10, len(uid)) + uid + body


def image(
    pixels: bytes = PIXELS.tobytes(), rows: int = 48, columns: int = 40, frames: str = "", before: bytes = b"",
    photometric: bytes = b"MONOCHROME2", after: bytes = b"", length: int | None = None, kind: str = "OW",
    bits: int = 16,
) -> bytes:  # fmt: skip
    """The data set of an MR image."""
    made = element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.4") + element(8, 0x18, "UI", b"1.2.3")
    made += element(8, 0x60, "CS", b"MR") + before + short(0x28, 2, 1) + element(0x28, 4, "CS", photometric)
    made += element(0x28, 8, "IS", frames.encode()) if frames else b""
    made += short(0x28, 0x10, rows) + short(0x28, 0x11, columns)
    made += short(0x28, 0x100, bits) + short(0x28, 0x101, bits) + short(0x28, 0x102, bits - 1) + short(0x28, 0x103, 0)
    return made + after + element(0x7FE0, 0x10, kind, pixels, length)


def deflated(body: bytes) -> bytes:
    """As PS3.5 A.5 packs a data set."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def bomb(mib: int, before: bytes, after: bytes = b"") -> bytes:
    """Deflated: some bytes, so many MiB of zeros, some bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 20)) + packer.flush(
        zlib.Z_FULL_FLUSH
    )  # stands alone, so that it can be repeated
    return head + zeros * mib + packer.compress(after) + packer.flush()


def item(value: bytes) -> bytes:
    """An item of a sequence of fragments."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def encapsulated(*fragments: bytes, closed: bool = True) -> bytes:
    """Compressed pixel data (PS3.5 A.4): an empty offset table, and fragments."""
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if closed else b""
    return item(b"") + b"".join(map(item, fragments)) + end


def palette(entries: int, said: int) -> bytes:
    """Three lookup tables that say how many entries they have, and have another number of them."""
    table = b"".join(element(0x28, 0x1101 + n, "US", struct.pack("<3H", said, 0, 16)) for n in range(3))
    return table + b"".join(element(0x28, 0x1201 + n, "OW", b"\1\0" * entries) for n in range(3))


def cases() -> dict[str, bytes]:
    """Every hostile file by name."""
    opening = struct.pack("<HH2s2xI", 0x0008, 0x1115, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    private = element(0x11, 0x10, "LO", b"BOMB") + element(0x11, 0x1001, "OB", b"", 256 << 20)
    rle = struct.pack("<16I", 2, 64, 70, *([0] * 13)) + b"\x81\x07" * 30
    return {
        "deflate bomb in a private element": file(bomb(256, private, image()), DEFLATED),
        "deflate bomb of pixels": file(bomb(256, image(b"", length=256 << 20)), DEFLATED),
        "deflate bomb behind a long header": file(
            bomb(256, image(b"", length=256 << 20)), DEFLATED, before=element(2, 0x102, "OB", bytes(300_000))
        ),
        "deflate bomb behind a header that lies about its length": file(
            bomb(1100, image(b"", length=1100 << 20)), DEFLATED, said=10
        ),
        "deflate bomb behind a header in implicit VR": implicit_meta(bomb(1100, image(b"", length=1100 << 20))),
        "rows and columns that lie": file(image(rows=65_535, columns=65_535)),
        "rows that lie a little": file(image(rows=49)),
        "frames that lie": file(image(frames="2147483647")),
        "frames of nonsense": file(image(frames="-7")),
        "no rows": file(image(rows=0)),
        "a palette without an end": file(image(photometric=b"PALETTE COLOR", after=palette(16, 65_535), bits=16)),
        "a palette shorter than its pixels": file(image(photometric=b"PALETTE COLOR", after=palette(4, 4))),
        "a palette of nothing": file(image(photometric=b"PALETTE COLOR")),
        "sequences 10,000 deep": file(image(before=opening * 10_000 + closing * 10_000)),
        "sequences 10,000 deep without an end": file(image(before=opening * 10_000)),
        "an element longer than the file": file(image(length=0xFFFFFFF0)),
        "bits that do not fit": file(image(bits=13)),
        "fragments without an end": file(image(encapsulated(rle, closed=False), length=0xFFFFFFFF, kind="OB"), RLE),
        "a fragment cut off": file(image(encapsulated(rle)[:-40], length=0xFFFFFFFF, kind="OB"), RLE),
        "fragments for more frames": file(
            image(encapsulated(rle), frames="50", length=0xFFFFFFFF, kind="OB"), RLE
        ),
        "a segment beyond its fragment": file(
            image(encapsulated(struct.pack("<16I", 2, 64, 0xFFFFFF00, *([0] * 13))), length=0xFFFFFFFF, kind="OB"), RLE
        ),
        "a code stream of nothing": file(
            image(encapsulated(b"\xff\x4f\xff\x51" + b"\xff" * 60), length=0xFFFFFFFF, kind="OB"),
            "1.2.840.10008.1.2.4.90",
        ),
        "an unknown transfer syntax": file(image(), "1.2.3.4.5"),
        "only a preamble": b"\0" * 128 + b"DICM",
        "a NIfTI of 32767 × 32767 × 32767": nifti((32767, 32767, 32767)),
        "a NIfTI of negative size": nifti((-5, 10, 10)),
        "a NIfTI of an unknown type": nifti((5, 5, 5), code=9999),
        "a NIfTI whose data starts far away": nifti((5, 5, 5), start=1e9),
        "a NIfTI of endless dimensions": nifti((5, 5, 5), dimensions=30_000),
        "a gzip bomb of a NIfTI": packed(nifti((1024, 1024, 4000)) + bytes(300 << 20)),
    }  # fmt: skip


def nifti(shape: tuple[int, int, int], code: int = 4, start: float = 352, dimensions: int = 3) -> bytes:
    """A NIfTI-1 header and a little data."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, dimensions, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, code, 16)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", head, 108, start, 1, 0)
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes(range(250))


def packed(content: bytes) -> bytes:
    """Gzipped."""
    import gzip

    return gzip.compress(content, 9)


def mutated(seeds: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Real files with bytes changed, cut out, repeated or cut off."""
    rng = random.Random(seed)
    for number in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 8)):
            top = min(len(data), rng.choice((300, 2000, len(data))))
            if not top:
                break
            at, change = rng.randrange(top), rng.random()
            if change < 0.5:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            elif change < 0.7:
                data[at : at + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", rng.randbytes(4))
                )
            elif change < 0.8:
                del data[at : at + rng.randint(1, 64)]
            elif change < 0.9:
                data[at:at] = data[at : at + rng.randint(1, 256)]
            else:
                del data[max(1, rng.randrange(len(data))) :]
        yield f"mutation {seed}.{number}", bytes(data)


def main() -> None:
    """Read the files of a folder, or mutations of them."""
    from tumorlens import io
    from tumorlens.errors import InputError

    paths, count, seed = sorted(Path(sys.argv[1]).iterdir()), int(sys.argv[2]), int(sys.argv[3])
    each = ((path.name, path.read_bytes()) for path in paths)
    for name, content in mutated([seed for _, seed in each], count, seed) if count else each:
        path = "scan.nii.gz" if content[:2] == b"\x1f\x8b" else "scan.nii" if b"n+1\0" in content[:400] else "scan.dcm"
        try:
            for one in io.stream_bytes(content, path):
                assert np.isfinite(one.pixels).all()
            outcome = "read"
        except InputError as error:
            outcome = error.code
            assert error.message
        except BaseException as error:  # noqa: BLE001 - told, and judged by the test
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps([name, outcome]), flush=True)  # noqa: T201
    print(json.dumps(["MiB", most()]))  # noqa: T201


def most() -> int:
    """The most memory that this program had at a time, in MiB; of what it was forked from nothing."""
    try:
        return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) >> 10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20  # macOS counts bytes


if __name__ == "__main__":
    main()
