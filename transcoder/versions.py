import av


def library_versions() -> str:
    """Of PyAV and of the libavcodec that it brings along."""
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"{av.__version__} with libavcodec {libavcodec}"
