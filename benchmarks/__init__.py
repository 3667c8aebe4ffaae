"""What is fast, against what: ``python -m benchmarks`` measures all of it side by side in one run.

It starts Redis, a MongoDB server and the sandbox on this machine and writes ``results.md`` and
``results.svg`` beside this file; with ``--only large``, ``large_numbers.md``.
``python -m benchmarks.freshness`` is apart: it simulates.
"""
