"""Numbers that follow from stored votes.

Votes, their bounds, certificates, comparisons and tables. Nothing is trained, torch is not needed.
"""
