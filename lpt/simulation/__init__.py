"""Saved actors at work in simulators, for regenerating data.

Nothing here imports `lpt.data` or torch at the top: processes that only simulate start at once.
"""
