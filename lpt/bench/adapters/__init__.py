"""Adapters shipped with `lpt-bench speed --against NAME`; see `lpt.bench.contenders`."""
