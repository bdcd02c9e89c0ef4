"""Connect Four: the board, an exact solver, the opponents and the environment."""
