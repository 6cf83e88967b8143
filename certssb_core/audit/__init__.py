"""Doubts about a finished run.

The inspector's checklist, joint budgets, capsules, the release's errors one by one.
"""
