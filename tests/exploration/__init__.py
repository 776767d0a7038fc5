"""Exploring whole schedulers by seeds."""
