"""The networks: one file per architecture, and a registry. Import :mod:`tumorlens.models.registry` for use."""
