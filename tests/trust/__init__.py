"""Promises tested the hard way: what other input and another deploy can do."""
