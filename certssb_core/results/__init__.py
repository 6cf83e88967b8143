"""From stored votes to numbers.

Votes, their bounds, certificates, comparisons and tables. Nothing is trained, torch is not needed.
"""
