"""What the machine gives: files, devices, processes, precision.

Lives here: what any package may need of the computer it runs on. Not here: anything that knows
what is learned.
"""
