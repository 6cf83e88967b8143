"""The storage-update on balls one can see.

Discs in the plane, certified for a real classifier.
"""
