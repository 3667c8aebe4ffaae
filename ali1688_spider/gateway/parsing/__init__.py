"""Reads the gateway's answers: one module per family of answers.

Reading a product gives the fields of the product record that an answer tells, as a dict, and an
empty one when there is no product in the answer; reading a search gives a ``SearchPage``.

* What an answer does not tell is no key, so that a row of a search erases nothing in a store.
* The reading is as lenient as the platform: numbers may be strings, names have variants.
* No value is judged. An impossible one passes through as it came, and validation refuses it.
"""
