"""The command line: one thin file per command over :mod:`tumorlens.pipeline`."""
