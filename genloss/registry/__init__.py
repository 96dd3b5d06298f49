"""The registry: finding and loading plugins, and the catalogue of what they offer."""
