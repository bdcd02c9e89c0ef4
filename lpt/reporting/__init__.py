"""Results: files with raw returns, and the statistics, tables and figures made from them.

Lives here: what is stored and shown of evaluations. Not here: how they were made.
"""
