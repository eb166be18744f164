"""Reads sample entries back: avc1 { avcC colr pasp }, and mp4a { esds } with its AudioSpecificConfig.

The answers are the fields of native.reader.InitInfo that the entry tells.
"""

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    CONFIGURATION_VERSION = 1
    ES_DESCRIPTOR = 3
    DECODER_CONFIG_DESCRIPTOR = 4
    DECODER_SPECIFIC_INFO = 5
    SL_CONFIG_DESCRIPTOR = 6
    OBJECT_TYPE_AAC = 0x40

# 14496-3, table 1.18
cdef tuple SAMPLE_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350
)
cdef tuple CHANNEL_COUNTS = (0, 1, 2, 3, 4, 5, 6, 8)  # 14496-3, table 1.19


cdef dict read_avc1(BoxReader avc1):
    avc1.skip(24)  # reserved, data_reference_index, pre_defined
    width, height = avc1.u16(), avc1.u16()
    avc1.skip(50)  # resolution, frame_count, compressorname, depth
    cdef BoxReader avcc = avc1.child(b"avcC")
    codecs, nal_length_size = read_avcc(avcc)
    colour = read_colr(avc1.child(b"colr"))
    read_pasp(avc1.child(b"pasp"))
    avc1.finish()
    return {
        "codecs": codecs,
        "nal_length_size": nal_length_size,
        "width": width,
        "height": height,
        "colour": colour,
    }


cdef tuple read_avcc(BoxReader avcc):
    avcc.expect("configuration version", avcc.u8(), CONFIGURATION_VERSION)
    codecs = f"avc1.{avcc.raw(3).hex()}"
    nal_length_size = (avcc.u8() & 3) + 1
    skip_parameter_sets(avcc, avcc.u8() & 0x1F)
    skip_parameter_sets(avcc, avcc.u8())
    avcc.skip(avcc.left())  # the High profiles' fields
    return codecs, nal_length_size


cdef int skip_parameter_sets(BoxReader avcc, uint8_t count) except -1:
    if count == 0:
        raise avcc.error("no parameter set")
    for _ in range(count):
        avcc.skip(avcc.u16())
    return 0


cdef tuple read_colr(BoxReader colr):
    if colr.raw(4) != b"nclx":
        raise colr.error("expected colour type nclx")
    colour = (colr.u16(), colr.u16(), colr.u16(), bool(colr.u8() & 0x80))
    colr.finish()
    return colour


cdef int read_pasp(BoxReader pasp) except -1:
    pasp.expect("horizontal spacing", pasp.u32(), 1)
    pasp.expect("vertical spacing", pasp.u32(), 1)
    return pasp.finish()


cdef dict read_mp4a(BoxReader mp4a, uint32_t timescale):
    mp4a.skip(16)  # reserved, data_reference_index
    entry_channels = mp4a.u16()
    mp4a.skip(6)  # samplesize, pre_defined, reserved
    entry_sample_rate = mp4a.u32() >> 16
    cdef BoxReader esds = mp4a.child(b"esds")
    mp4a.finish()
    codecs, sample_rate, channels = read_esds(esds)
    esds.expect("channels as in the sample entry,", channels, entry_channels)
    esds.expect("sample rate as in the sample entry,", sample_rate, entry_sample_rate)
    esds.expect("sample rate as the timescale,", sample_rate, timescale)
    return {"codecs": codecs, "sample_rate": sample_rate, "channels": channels}


cdef tuple read_esds(BoxReader esds):
    esds.full_box_flags(0)
    cdef BoxReader es = descriptor(esds, ES_DESCRIPTOR)
    esds.finish()
    es.skip(2)  # ES_ID
    es.expect("stream flags", es.u8(), 0)
    cdef BoxReader config = descriptor(es, DECODER_CONFIG_DESCRIPTOR)
    descriptor(es, SL_CONFIG_DESCRIPTOR)
    es.finish()
    config.expect("object type", config.u8(), OBJECT_TYPE_AAC)
    config.skip(12)  # stream type, buffer size, bit rates
    cdef BoxReader asc = descriptor(config, DECODER_SPECIFIC_INFO)
    config.finish()
    return read_asc(asc)


cdef BoxReader descriptor(BoxReader parent, uint8_t tag):
    """14496-1, 7.2.6: a tag, then a size of one to four bytes with seven bits in each."""
    cdef uint32_t size = 0
    cdef uint8_t byte = 0x80
    parent.expect("descriptor", parent.u8(), tag)
    for _ in range(4):
        byte = parent.u8()
        size = (size << 7) | (byte & 0x7F)
        if byte < 0x80:
            return parent.part(size, parent.name)
    raise parent.error(f"size of descriptor {tag} has more than four bytes")


cdef tuple read_asc(BoxReader asc):
    """AudioSpecificConfig; escape codes and channel layouts of its own are not accepted."""
    cdef uint32_t word = asc.u16()
    cdef uint32_t object_type = word >> 11
    cdef uint32_t rate_index = (word >> 7) & 0xF
    cdef uint32_t channel_configuration = (word >> 3) & 0xF
    if object_type in (0, 31):
        raise asc.error(f"audio object type {object_type}")
    if rate_index >= len(SAMPLE_RATES):
        raise asc.error(f"sampling frequency index {rate_index}")
    if not 1 <= channel_configuration < len(CHANNEL_COUNTS):
        raise asc.error(f"channel configuration {channel_configuration}")
    return (
        f"mp4a.40.{object_type}",
        SAMPLE_RATES[rate_index],
        CHANNEL_COUNTS[channel_configuration],
    )
