"""Reading and writing: one module for each kind of file, and `files`, which tells them apart.

A format turns a file into a `TrajectoryDataset` and back. It looks for nothing and downloads
nothing; it may not import tasks or sources.
"""
