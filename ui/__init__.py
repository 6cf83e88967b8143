"""Glue between the pages and the core: cached state, charts, texts, forms, the job panel."""
