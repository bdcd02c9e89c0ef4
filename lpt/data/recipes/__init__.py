"""How a task's data are made: one small frozen object for each kind of generator.

A recipe answers what `lpt.data.recipes.recipe` lists. It knows neither tasks nor where made data
are kept; the generators themselves are in `lpt_envs`.
"""
