"""From votes to promises: bounds, certificates, the store of certified balls, and metrics."""
