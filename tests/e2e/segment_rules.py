"""SEG1 to SEG28 of the conformance list, for CMAF segments. Each rule is a function of a package;
its docstring is the rule. bis = draft-pantos-hls-rfc8216bis-22, A = Apple's HLS authoring
specification."""

from fractions import Fraction
from itertools import pairwise
from struct import unpack_from

from tests.e2e import boxes
from tests.e2e.package import Package, Rendition
from tests.e2e.probe import decoded_frames, stream_facts

MILLISECOND = Fraction(1, 1000)


def round_nearest(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def seg1_extinf_within_target(package: Package) -> None:
    """bis 4.4.3.1: EXTINF, rounded to the nearest second, is at most the target duration."""
    for rendition in package.renditions:
        assert rendition.target >= 1
        for segment in rendition.segments:
            assert round_nearest(segment.extinf) <= rendition.target, segment.uri


def seg2_segment_within_target_and_a_half(package: Package) -> None:
    """A 7.7."""
    for rendition in package.renditions:
        for segment in rendition.segments:
            duration = rendition.seconds(segment.fragment.duration)
            assert duration <= rendition.target + Fraction(1, 2), segment.uri


def seg4_idr_every_two_seconds(package: Package) -> None:
    """A 1.13: key frames at most two seconds and one frame apart."""
    for rendition in package.video:
        samples = [s for segment in rendition.segments for s in segment.fragment.samples]
        longest = run = 0
        for sample in samples:
            run = sample.duration if sample.is_sync else run + sample.duration
            longest = max(longest, run)
        assert rendition.seconds(longest) <= 2 + rendition.seconds(samples[0].duration)


def seg5_segments_start_with_idr(package: Package) -> None:
    """A 7.4: the first sample of a video segment has an IDR slice (NAL type 5)."""
    for rendition in package.video:
        for segment in rendition.segments:
            assert 5 in boxes.nal_types(segment.fragment.first_sample), segment.uri
            assert segment.fragment.samples[0].is_sync, segment.uri


def seg6_boundaries_agree(package: Package) -> None:
    """A 8.22: all video renditions are cut at the same times; audio within half a frame."""
    starts = [
        [r.seconds(segment.fragment.decode_time) for segment in r.segments]
        for r in package.renditions
    ]
    is_video = [r.is_video for r in package.renditions]
    half_aac_frame = Fraction(512, 48_000)
    for times, video in zip(starts, is_video, strict=True):
        tolerance = 0 if video == is_video[0] else half_aac_frame
        assert len(times) == len(starts[0])
        assert all(abs(a - b) <= tolerance for a, b in zip(times, starts[0], strict=True))


def seg7_segments_decode_alone(package: Package) -> None:
    """bis 4.4.2.1 (INDEPENDENT-SEGMENTS): init + one segment decode to all of its samples."""
    for rendition in package.video[:1] + package.video[-1:]:
        for segment in rendition.segments[:12]:
            frames = decoded_frames(rendition.init + segment.data)
            assert frames == len(segment.fragment.samples), segment.uri


def seg8_decode_times_are_continuous(package: Package) -> None:
    """A 7.1, 7.3: first tfdt 0; each tfdt is the one before plus its durations, as integers."""
    for rendition in package.renditions:
        fragments = [segment.fragment for segment in rendition.segments]
        assert fragments[0].decode_time == 0
        for before, after in pairwise(fragments):
            assert after.decode_time == before.decode_time + before.duration
        numbers = [fragment.sequence_number for fragment in fragments]
        assert numbers == sorted(set(numbers))


def seg9_extinf_sum_follows_decode_time(package: Package) -> None:
    """A 8.1, and stricter for Shaka Player: the running sum is within 1 ms of every tfdt."""
    for rendition in package.renditions:
        total = Fraction(0)
        for segment in rendition.segments:
            assert abs(total - rendition.seconds(segment.fragment.decode_time)) < MILLISECOND
            total += segment.extinf


def seg10_every_playlist_has_a_map(package: Package) -> None:
    """bis 3.1.2; A 8.20."""
    for rendition in package.renditions:
        assert rendition.text.index("#EXT-X-MAP") < rendition.text.index("#EXTINF")


def seg11_init_segment_is_empty_and_fragmented(package: Package) -> None:
    """bis 3.1.2: ftyp iso6 or later, moov; durations 0, no samples, mvex last, trex per track."""
    for rendition in package.renditions:
        root = boxes.parse(rendition.init)
        assert [box.type for box in root.children] == ["ftyp", "moov"]
        assert brands(root.one("ftyp")) & {b"iso6", b"iso7", b"iso8", b"iso9", b"cmfc"}
        moov = root.one("moov")
        assert [box.type for box in moov.children][-1] == "mvex"
        assert mvhd_duration(moov.one("mvhd")) == 0
        tkhd = moov.one("trak/tkhd")
        assert tkhd_duration(tkhd) == 0
        assert unpack_from(">I", moov.one("mvex/trex").payload, 4) == (track_id(tkhd),)
        stbl = moov.one("trak/mdia/minf/stbl")
        for table, offset in (("stts", 4), ("stsc", 4), ("stsz", 8), ("stco", 4)):
            assert unpack_from(">I", stbl.one(table).payload, offset) == (0,), table


def brands(ftyp: boxes.Box) -> set[bytes]:
    raw = ftyp.payload[:4] + ftyp.payload[8:]
    return {raw[n : n + 4] for n in range(0, len(raw), 4)}


def mvhd_duration(mvhd: boxes.Box) -> int:
    version, _ = boxes.version_and_flags(mvhd)
    return int(unpack_from(">Q" if version else ">I", mvhd.payload, 24 if version else 16)[0])


def tkhd_duration(tkhd: boxes.Box) -> int:
    version, _ = boxes.version_and_flags(tkhd)
    return int(unpack_from(">Q" if version else ">I", tkhd.payload, 28 if version else 20)[0])


def track_id(tkhd: boxes.Box) -> int:
    version, _ = boxes.version_and_flags(tkhd)
    return int(unpack_from(">I", tkhd.payload, 20 if version else 12)[0])


def seg12_addressing_is_fragment_relative(package: Package) -> None:
    """bis 3.1.2: tfdt in every traf, default-base-is-moof, no base-data-offset."""
    for rendition in package.renditions:
        for segment in rendition.segments:
            traf = boxes.parse(segment.data).one("moof/traf")
            _, flags = boxes.version_and_flags(traf.one("tfhd"))
            assert flags & 0x020000
            assert not flags & 0x1
            assert traf.all("tfdt")


def seg13_one_track_per_segment(package: Package) -> None:
    """CMAF: one traf, one track id, the same as in the init segment."""
    for rendition in package.renditions:
        tkhd = boxes.parse(rendition.init).one("moov/trak/tkhd")
        for segment in rendition.segments:
            root = boxes.parse(segment.data)
            assert [b.type for b in root.children if b.type != "styp"] == ["moof", "mdat"]
            assert len(root.all("moof/traf")) == 1
            assert segment.fragment.track_id == track_id(tkhd)


def seg14_nothing_changes_within_a_rendition(package: Package) -> None:
    """bis 4.4.4.3: one init segment, no discontinuity."""
    for rendition in package.renditions:
        assert rendition.text.count("#EXT-X-MAP") == 1
        assert "#EXT-X-DISCONTINUITY" not in rendition.text


def seg18_parameter_sets_are_out_of_band(package: Package) -> None:
    """A 1.10: avc1, not avc3, and no SPS or PPS in the samples."""
    for rendition in package.video:
        assert rendition.info.sample_entry == "avc1"
        for segment in rendition.segments:
            assert not {7, 8} & set(boxes.nal_types(segment.fragment.first_sample))


def seg19_profile_and_pixel_format(package: Package) -> None:
    """A 1.3, 1.5: H.264 up to High, 8 bit 4:2:0, up to level 5.2."""
    for rendition in package.video:
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        assert facts["codec_name"] == "h264"
        assert facts["profile"] in {"Constrained Baseline", "Main", "High"}
        assert facts["pix_fmt"] == "yuv420p"
        assert int(facts["level"]) <= 52


def seg20_level_is_not_higher_than_needed(package: Package) -> None:
    """A 1.11: macroblocks per frame and per second of the next lower level would not do."""
    # H.264 table A-1: level -> (macroblocks/s, macroblocks per frame)
    limits = {
        10: (1485, 99), 11: (3000, 396), 12: (6000, 396), 13: (11880, 396), 20: (11880, 396),
        21: (19800, 792), 22: (20250, 1620), 30: (40500, 1620), 31: (108000, 3600),
        32: (216000, 5120), 40: (245760, 8192), 41: (245760, 8192), 42: (522240, 8704),
        50: (589824, 22080), 51: (983040, 36864), 52: (2073600, 36864),
    }  # fmt: skip
    for rendition in package.video:
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        num, den = map(int, facts["r_frame_rate"].split("/"))
        blocks = -(-int(facts["width"]) // 16) * -(-int(facts["height"]) // 16)
        rate = blocks * num / den
        enough = [level for level, (mbs, fs) in limits.items() if rate <= mbs and blocks <= fs]
        # bit rate and reference frames may need more than the picture does: two steps at most
        assert int(facts["level"]) <= ([*enough, 52, 52])[2], (facts["level"], enough[0])


def seg21_pictures_are_progressive(package: Package) -> None:
    """A 1.14."""
    for rendition in package.video:
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        assert facts.get("field_order", "progressive") == "progressive"


def seg22_frame_rate_is_constant(package: Package) -> None:
    """A 1.18, 1.19: all samples of a rendition last equally long; at most 60 per second."""
    for rendition in package.video:
        durations = {s.duration for seg in rendition.segments for s in seg.fragment.samples}
        assert len(durations) == 1
        assert 1 / rendition.seconds(durations.pop()) <= 60


def seg23_colour_is_signalled_alike(package: Package) -> None:
    """A 1.21, 1.22: colr nclx, the same in all renditions, nothing left unspecified."""
    seen = set()
    for rendition in package.video:
        (colr,) = rendition.info.entry.all("colr")
        assert colr.payload[:4] == b"nclx"
        seen.add(colr.payload[4:])
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        names = [facts.get(f"color_{name}") for name in ("primaries", "transfer", "space")]
        assert None not in names and "unknown" not in names, names
        assert facts.get("color_range") == "tv"
    assert len(seen) <= 1
    assert all(2 not in unpack_from(">HHH", colour) for colour in seen)


def seg24_aspect_ratios_agree(package: Package) -> None:
    """A 1.33: the same shape in all variants, within the rounding to even sizes."""
    shapes = []
    for rendition in package.video:
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        width, height = int(facts["width"]), int(facts["height"])
        assert facts.get("sample_aspect_ratio", "1:1") == "1:1"
        shapes.append(((width - 1) / (height + 1), (width + 1) / (height - 1)))
    assert not shapes or max(low for low, _ in shapes) <= min(high for _, high in shapes)


def seg26_audio_is_aac_lc(package: Package) -> None:
    """A 2.3: mono or stereo AAC-LC at 48 kHz."""
    for rendition in package.audio:
        facts = stream_facts(rendition.init + rendition.segments[0].data)
        assert (facts["codec_name"], facts["profile"]) == ("aac", "LC")
        assert (facts["sample_rate"], facts["channels"] <= 2) == ("48000", True)


def seg28_audio_is_shared_by_all_variants(package: Package) -> None:
    """bis 6.2.4-S2: with video, audio is a rendition of its own."""
    if package.video and package.audio:
        assert {rendition.url for _, rendition in package.variants} == {
            rendition.url for rendition in package.video
        }
        assert len({attributes.get("AUDIO") for attributes, _ in package.variants}) == 1


def whole_rendition_decodes(rendition: Rendition) -> int:
    return decoded_frames(rendition.media())


def all_samples_decode(package: Package) -> None:
    """Each rendition as one stream decodes without an error to exactly its samples."""
    for rendition in package.renditions:
        frames = sum(len(segment.fragment.samples) for segment in rendition.segments)
        assert whole_rendition_decodes(rendition) == frames, rendition.url


def first_picture_is_at_zero(package: Package) -> None:
    """The first composition offset is taken back by the only edit, so time starts at 0."""
    for rendition in package.renditions:
        offset = rendition.segments[0].fragment.samples[0].composition_offset
        assert offset == rendition.info.media_time
        assert offset >= 0


RULES = (
    seg1_extinf_within_target,
    seg2_segment_within_target_and_a_half,
    seg4_idr_every_two_seconds,
    seg5_segments_start_with_idr,
    seg6_boundaries_agree,
    seg7_segments_decode_alone,
    seg8_decode_times_are_continuous,
    seg9_extinf_sum_follows_decode_time,
    seg10_every_playlist_has_a_map,
    seg11_init_segment_is_empty_and_fragmented,
    seg12_addressing_is_fragment_relative,
    seg13_one_track_per_segment,
    seg14_nothing_changes_within_a_rendition,
    seg18_parameter_sets_are_out_of_band,
    seg19_profile_and_pixel_format,
    seg20_level_is_not_higher_than_needed,
    seg21_pictures_are_progressive,
    seg22_frame_rate_is_constant,
    seg23_colour_is_signalled_alike,
    seg24_aspect_ratios_agree,
    seg26_audio_is_aac_lc,
    seg28_audio_is_shared_by_all_variants,
    all_samples_decode,
    first_picture_is_at_zero,
)
