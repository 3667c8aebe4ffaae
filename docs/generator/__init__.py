"""Makes the pages of ``docs/reference`` that list what the code has.

``make reference`` writes them; a test fails when one of them is out of date.
"""
