"""A step of data-parallel training on paper: arithmetic and communication, from 1 to
1,024 devices.

``python -m benchmarks.scaling`` writes the tables and pictures of docs/scaling.md anew.
What it computes with is counted from the nets (`nets`), published or measured
(`machines`), and of two formulas (`links`, `steps`); `events` goes through a step
event by event instead, and must agree.
"""
