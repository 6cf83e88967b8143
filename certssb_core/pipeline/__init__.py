"""The one pipeline.

Data → poisoning → σ* → members → votes → certificates → store → metrics, stage by stage.
"""
