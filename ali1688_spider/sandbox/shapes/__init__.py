"""The products as the APIs answer them: one function per shape.

Sources: the API pages of the 1688 Open Platform, and what real answers show besides: numbers as
texts, relative image paths, repeated attributes, missing and undocumented fields.
"""
