"""Load as viewers and operators make it, on a service that is started for it or on any other.

Viewers are players: they get a title and its playback URL from the API, load playlists, init
segments and segments into a buffer at the rate at which it is played, switch rungs by what they
measure, seek, pause, leave. Operators upload, follow, play and delete titles. What has to be kept
meanwhile is in targets.toml; a run that misses any of it fails and says what.
"""
