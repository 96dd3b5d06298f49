"""What a study's records say when its objectives are compared."""
