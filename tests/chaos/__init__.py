"""Proof under faults: what is killed, stopped, cut off or filled up loses nothing and does nothing twice. Each test has
a short form, which every run of the tests holds, and a long one: ``make chaos``."""
