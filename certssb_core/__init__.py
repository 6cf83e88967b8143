"""Certified backdoor defence by sample-specific randomised smoothing (Cert-SSBD, arXiv 2504.21730).

The way of the data, floor by floor:

``data`` (datasets, triggers, poisoning) → ``smoothing`` (noise laws, σ*) → ``ensemble`` (members, votes)
→ ``certify`` (bounds, certificates, store, metrics), composed by ``experiment`` (config, run folder,
pipeline, worker, command line) and drawn by ``figures``.
"""

__version__ = "0.1.0"
