"""Audit: what doubts a finished run: inspection, re-verification, falsification, capsules, budgets."""
