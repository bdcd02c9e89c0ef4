"""Gym-MuJoCo's data: SAC actors saved in the course of training, and D4RL's recipes for them.

Lives here: the actors' files, who acts when, and simulators at work in several processes. Nothing
imports torch at the top, so that processes that only simulate start at once.
"""
