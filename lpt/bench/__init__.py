"""Benchmarks: how fast this toolkit is on a machine, and sweeps of many runs."""
