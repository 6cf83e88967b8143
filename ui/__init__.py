"""Parts of the pages.

``kit`` is shared; every other folder belongs to one page.
"""
