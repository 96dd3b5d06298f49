"""The registry: plugins, found and loaded, and the catalogue of what they offer."""
