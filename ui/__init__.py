"""What the pages are made of.

``kit`` is shared; every other folder belongs to one page.
"""
