"""The origin's cache policies, replaying what an origin is asked for."""
