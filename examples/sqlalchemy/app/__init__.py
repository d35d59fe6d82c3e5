"""A platform in small that keeps the credentials of its customers encrypted."""
