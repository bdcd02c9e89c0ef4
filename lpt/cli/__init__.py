"""The commands lpt-train, lpt-eval and lpt-data."""
