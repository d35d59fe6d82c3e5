"""A trial of the platform: its versions side by side, under load, in a rotation."""
