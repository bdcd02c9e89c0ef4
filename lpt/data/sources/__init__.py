"""Where data come from: files and ids that are found, downloaded or made (`resolve`), and loading.

Nothing below imports this: neither formats nor recipes nor tasks know where their data lie.
"""
