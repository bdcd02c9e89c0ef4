"""Many runs: tasks x algorithms x seeds x variants, on this machine or a Ray cluster.

Lives here: a sweep's file, its trials, and how each of them goes. Not here: what a run does.
"""
