"""Fitting a network, and everything that makes it repeatable, resumable and deployable."""
