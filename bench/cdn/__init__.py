"""CloudFront in small: two points of presence and a shield before a real origin.

The tiers are nginx with the viewer-request function as it is deployed, run by the engine that
CloudFront runs. What is proved is counted in their logs and on their disks.
"""
