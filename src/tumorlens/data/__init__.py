"""Data sets: the manifest, what becomes one, the phantom, and splitting."""
