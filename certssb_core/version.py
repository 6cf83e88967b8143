"""Version of this package, as manifests and reports name it."""

VERSION = "0.1.0"
