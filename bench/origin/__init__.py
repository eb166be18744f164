"""Headrace's origin beside nginx, Varnish and Starlette: CPU per request, on pinned cores."""
