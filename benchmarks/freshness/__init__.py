"""Compares strategies of watching products, by simulation: how much of the store is right?

``python -m benchmarks.freshness`` writes ``freshness.md``, which also says what is simulated.
"""
