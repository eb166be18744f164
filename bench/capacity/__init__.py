"""What so many viewers and so many uploaded hours need, from measured figures alone."""
