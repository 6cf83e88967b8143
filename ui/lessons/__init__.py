"""The Lessons page: lessons read from files, and the views that they pin."""
