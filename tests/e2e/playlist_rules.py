"""MP, MV and DL rules of the conformance list: playlists, and how they are delivered."""

from fractions import Fraction
from urllib.parse import urljoin, urlsplit

import httpx

from tests.e2e import boxes
from tests.e2e.package import Package, Rendition

MEDIA_TAGS = ("#EXTINF", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-MAP")
MULTIVARIANT_TAGS = ("#EXT-X-STREAM-INF", "#EXT-X-MEDIA:", "#EXT-X-I-FRAME-STREAM-INF")
ONCE = (
    "#EXTM3U", "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-PLAYLIST-TYPE", "#EXT-X-ENDLIST",
)  # fmt: skip


def mp1_form(package: Package) -> None:
    """bis 4.1, 4.4.1.1: EXTM3U first, UTF-8 without BOM, single tags single, levels not mixed."""
    for rendition in package.renditions:
        assert rendition.response.content.startswith(b"#EXTM3U\n")
        lines = rendition.text.splitlines()
        for tag in ONCE:
            assert sum(line.startswith(tag) for line in lines) == 1, tag
        assert not any(line.startswith(MULTIVARIANT_TAGS) for line in lines)
    assert package.response.content.startswith(b"#EXTM3U\n")
    assert not any(line.startswith(MEDIA_TAGS) for line in package.text.splitlines())


def mp2_version_is_what_is_needed(package: Package) -> None:
    """bis 8: EXT-X-MAP needs 6, nothing here needs more."""
    for rendition in package.renditions:
        assert rendition.tag("#EXT-X-VERSION:") == "6"


def mp3_vod_and_immutable(package: Package) -> None:
    """A 8.6: VOD with ENDLIST, and the same bytes and ETag when asked again."""
    for rendition in package.renditions:
        assert rendition.tag("#EXT-X-PLAYLIST-TYPE:") == "VOD"
        assert rendition.text.endswith("#EXT-X-ENDLIST\n")
        again = httpx.get(rendition.url)
        assert again.content == rendition.response.content
        assert again.headers["etag"] == rendition.response.headers["etag"]


def mp4_target_durations_agree(package: Package) -> None:
    """A 8.2."""
    assert len({rendition.target for rendition in package.renditions}) == 1


def mp5_durations_agree(package: Package) -> None:
    """A 8.3, 8.7: video exactly, audio by less than one AAC frame more."""
    durations = {r.duration for r in package.video}
    assert len(durations) <= 1
    for audio in package.audio if durations else []:
        assert 0 <= audio.duration - min(durations) < Fraction(1024, 48_000) + Fraction(1, 10**6)


def mp7_sequence_comes_first(package: Package) -> None:
    """bis 4.4.3.2."""
    for rendition in package.renditions:
        assert rendition.text.index("#EXT-X-MEDIA-SEQUENCE:0") < rendition.text.index("#EXTINF")


def mp8_independent_segments_once(package: Package) -> None:
    """A 9.11: in the multivariant playlist, so not in the others."""
    assert package.text.count("#EXT-X-INDEPENDENT-SEGMENTS") == 1
    for rendition in package.renditions:
        assert "INDEPENDENT-SEGMENTS" not in rendition.text


def mp12_uris_are_relative_and_not_redirected(package: Package) -> None:
    """A 8.18."""
    for rendition in package.renditions:
        for segment in rendition.segments:
            assert not urlsplit(segment.uri).scheme
            assert segment.response.status_code == 200
            assert not segment.response.history


def mv1_attributes(package: Package) -> None:
    """bis 4.4.6.2; A 9.1, 9.2, 9.14, 9.15."""
    for attributes, rendition in package.variants:
        assert {"BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"} <= attributes.keys()
        if rendition.is_video:
            assert "x" in attributes["RESOLUTION"]
            assert len(attributes["FRAME-RATE"].split(".")[1]) == 3


def rates(rendition: Rendition) -> tuple[Fraction, Fraction]:
    """Peak (bis 4.4.6.2: the worst run of 0.5 to 1.5 target durations) and average, bit/s."""
    sizes = [8 * len(segment.data) for segment in rendition.segments]
    seconds = [segment.extinf for segment in rendition.segments]
    average = sum(sizes) / sum(seconds, Fraction(0))
    target, runs = rendition.target, []
    for first in range(len(sizes)):
        for end in range(first + 1, min(first + 8, len(sizes)) + 1):
            duration = sum(seconds[first:end], Fraction(0))
            if Fraction(target, 2) <= duration <= Fraction(3 * target, 2):
                runs.append(sum(sizes[first:end]) / duration)
    return max(runs, default=average), average


def mv2_and_mv3_bandwidth_is_measured(package: Package) -> None:
    """A 1.26, 1.27: peak and average of variant plus group are within 10 % of what is said;
    bis 4.4.6.2: the peak is not above it."""
    for attributes, rendition in package.variants:
        tracks = [rendition, *package.group(attributes)]
        peak = sum((rates(track)[0] for track in tracks), Fraction(0))
        average = sum((rates(track)[1] for track in tracks), Fraction(0))
        bandwidth = int(attributes["BANDWIDTH"])
        assert peak <= bandwidth + 1
        assert abs(peak - bandwidth) <= bandwidth / 10
        stated = int(attributes["AVERAGE-BANDWIDTH"])
        assert abs(average - stated) <= stated / 10


def mv5_codecs_are_those_of_the_bitstream(package: Package) -> None:
    """bis 4.4.6.2: CODECS names every format of the variant and of the group it plays with."""
    for attributes, rendition in package.variants:
        tracks = [rendition, *package.group(attributes)]
        assert set(attributes["CODECS"].split(",")) == {boxes.codecs(t.info) for t in tracks}


def mv6_media_attributes(package: Package) -> None:
    """bis 4.4.6.1; A 8.10."""
    for media, _ in package.alternatives:
        assert {"TYPE", "GROUP-ID", "NAME", "LANGUAGE", "CHANNELS", "URI"} <= media.keys()
    assert sum(media.get("DEFAULT") == "YES" for media, _ in package.alternatives) <= 1
    names = [media["NAME"] for media, _ in package.alternatives]
    assert len(names) == len(set(names))


def mv8_groups_exist(package: Package) -> None:
    """bis 4.4.6.2."""
    groups = {media["GROUP-ID"] for media, _ in package.alternatives}
    for attributes, _ in package.variants:
        assert attributes.get("AUDIO") in groups or (not groups and "AUDIO" not in attributes)


def mv9_closed_captions_none(package: Package) -> None:
    """bis 4.4.6.2: NONE on all video variants."""
    for attributes, rendition in package.variants:
        assert not rendition.is_video or attributes["CLOSED-CAPTIONS"] == "NONE"


def alternatives_follow_variants(package: Package) -> None:
    """FFmpeg seeks a GOP late when EXT-X-MEDIA stands before EXT-X-STREAM-INF."""
    if package.alternatives:
        assert package.text.rindex("#EXT-X-STREAM-INF") < package.text.index("#EXT-X-MEDIA:")


def dl2_content_types(package: Package) -> None:
    """A 10.4."""
    playlists = [package.response, *(rendition.response for rendition in package.renditions)]
    for response in playlists:
        assert response.headers["content-type"] == "application/vnd.apple.mpegurl"
    for rendition in package.renditions:
        assert rendition.init_response.headers["content-type"] in {"video/mp4", "audio/mp4"}
        for segment in rendition.segments:
            assert segment.response.headers["content-type"] in {"video/iso.segment", "video/mp4"}


def dl4_segments_are_whole(package: Package) -> None:
    """bis 6.2.1-M6: what is listed is there, entirely."""
    for rendition in package.renditions:
        for segment in rendition.segments:
            assert int(segment.response.headers["content-length"]) == len(segment.data)


def cors_everywhere(package: Package) -> None:
    """hls.js and Shaka Player refuse what another origin may not read."""
    responses = [package.response]
    for rendition in package.renditions:
        responses += [rendition.response, rendition.init_response]
        responses += [segment.response for segment in rendition.segments]
    assert all(r.headers.get("access-control-allow-origin") == "*" for r in responses)


def ffmpeg_accepts_the_extensions(package: Package) -> None:
    """FFmpeg 7.1 and later refuse segments whose path ends in anything else."""
    for rendition in package.renditions:
        for segment in rendition.segments:
            assert urlsplit(urljoin(rendition.url, segment.uri)).path.endswith(".m4s")


RULES = (
    mp1_form,
    mp2_version_is_what_is_needed,
    mp3_vod_and_immutable,
    mp4_target_durations_agree,
    mp5_durations_agree,
    mp7_sequence_comes_first,
    mp8_independent_segments_once,
    mp12_uris_are_relative_and_not_redirected,
    mv1_attributes,
    mv2_and_mv3_bandwidth_is_measured,
    mv5_codecs_are_those_of_the_bitstream,
    mv6_media_attributes,
    mv8_groups_exist,
    mv9_closed_captions_none,
    alternatives_follow_variants,
    dl2_content_types,
    dl4_segments_are_whole,
    cors_everywhere,
    ffmpeg_accepts_the_extensions,
)
