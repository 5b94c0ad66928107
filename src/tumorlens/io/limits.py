"""How large a foreign file may be before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from tumorlens.errors import InputError


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds that are checked against a file's header before anything of that size is allocated.

    Attributes:
        file_bytes: encoded bytes of a file that has to be read whole; unpacked bytes of a NIfTI volume.
        image_pixels: pixels of one image or frame.
        file_pixels: pixels of all frames of one file together.
        frames: frames of a volume or multi-frame file.
        array_items: images in one array of an ``.npz``.
        member_bytes: unpacked bytes of one member of an archive.
        members: entries of an archive.
        ratio: unpacked ÷ packed size of an archive member of more than 1 MiB.
    """

    file_bytes: int = 1 << 30
    image_pixels: int = 64_000_000
    file_pixels: int = 512_000_000
    frames: int = 10_000
    array_items: int = 1_000_000
    member_bytes: int = 256 << 20
    members: int = 1_000_000
    ratio: int = 1_000

    def check_image(self, name: str, height: int, width: int) -> None:
        """Raise InputError ``too_large`` (or ``corrupt`` for an empty image) from the size in a header."""
        if height <= 0 or width <= 0:
            raise InputError(
                f"{name} says it is {width} × {height} pixels, which is no image",
                hint="export the image again",
                code="corrupt",
            )
        if height * width > self.image_pixels:
            raise too_large(name, f"{width} × {height} pixels", f"{self.image_pixels / 1e6:g} million pixels")

    def check_frames(self, name: str, frames: int, height: int, width: int) -> None:
        """As :meth:`check_image`, for ``frames`` images of one size."""
        self.check_image(name, height, width)
        if frames <= 0:
            raise InputError(f"{name} says it has {frames} frames", hint="export the file again", code="corrupt")
        if frames > self.frames:
            raise too_large(name, f"{frames} frames", f"{self.frames} frames")
        if frames * height * width > self.file_pixels:
            raise too_large(name, f"{frames} × {width} × {height} pixels", f"{self.file_pixels / 1e6:g} million pixels")

    def check_bytes(self, name: str, size: int) -> None:
        """Raise InputError ``too_large`` for a file of ``size`` bytes that has to be read whole."""
        if size > self.file_bytes:
            raise too_large(name, f"{size / 2**20:.0f} MiB", f"{self.file_bytes / 2**20:.0f} MiB")


def too_large(name: str, found: str, limit: str) -> InputError:
    """The error for something above a limit."""
    return InputError(
        f"{name} has {found}; the limit is {limit}",
        hint="a brain-MRI slice is far smaller: check that this is the right file, or scale it down",
        code="too_large",
    )


DEFAULT = Limits()
