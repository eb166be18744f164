"""Viewing sessions through points of presence, regional caches and a shield, to internet scale."""
