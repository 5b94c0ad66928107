"""The only code that opens foreign bytes."""
