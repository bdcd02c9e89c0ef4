"""What several tests build and do; `tests/conftest.py` hands it to them as fixtures."""
