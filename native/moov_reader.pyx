"""Reads the moov of an init segment back, independently of the writer.

    moov
      mvhd
      trak
        tkhd
        edts { elst }       or none
        mdia
          mdhd
          hdlr
          minf
            vmhd | smhd
            dinf { dref { url } }
            stbl { stsd { avc1 | mp4a } stts stsc stsz stco }
      mvex { trex }

The answer is the fields of native.reader.InitInfo.
"""

from libc.stdint cimport INT32_MAX, uint32_t

from native.stsd_reader cimport read_avc1, read_mp4a

cdef enum:
    URL_SELF_CONTAINED = 0x000001
    MEDIA_RATE_ONE = 0x00010000


cdef dict read_moov(BoxReader moov):
    cdef BoxReader mvhd = moov.child(b"mvhd")
    cdef BoxReader trak = moov.child(b"trak")
    cdef BoxReader mvex = moov.child(b"mvex")
    moov.finish()
    mvhd.full_box_flags(0)
    mvhd.skip(12)  # creation_time, modification_time, timescale
    mvhd.expect("duration", mvhd.u32(), 0)
    cdef BoxReader trex = mvex.child(b"trex")
    mvex.finish()
    trex.full_box_flags(0)
    track_id = trex.u32()
    return read_trak(trak, track_id)


cdef dict read_trak(BoxReader trak, uint32_t track_id):
    cdef BoxReader tkhd = trak.child(b"tkhd")
    media_time = read_edts(trak.child(b"edts")) if trak.next_is(b"edts") else 0
    cdef BoxReader mdia = trak.child(b"mdia")
    trak.finish()
    tkhd.full_box_flags(0)
    tkhd.skip(8)  # creation_time, modification_time
    tkhd.expect("track_ID as in the trex,", tkhd.u32(), track_id)
    tkhd.skip(4)  # reserved
    tkhd.expect("duration", tkhd.u32(), 0)
    return {"track_id": track_id, "media_time": media_time, **read_mdia(mdia)}


cdef uint32_t read_edts(BoxReader edts) except? 0xFFFFFFFF:
    """The media_time of the only edit."""
    cdef BoxReader elst = edts.child(b"elst")
    edts.finish()
    elst.full_box_flags(0)
    elst.expect("entry_count", elst.u32(), 1)
    elst.expect("segment_duration", elst.u32(), 0)
    cdef uint32_t media_time = elst.u32()
    if media_time > INT32_MAX:
        raise elst.error("an empty edit comes first")
    elst.expect("media_rate", elst.u32(), MEDIA_RATE_ONE)
    elst.finish()
    return media_time


cdef dict read_mdia(BoxReader mdia):
    cdef BoxReader mdhd = mdia.child(b"mdhd")
    cdef BoxReader hdlr = mdia.child(b"hdlr")
    cdef BoxReader minf = mdia.child(b"minf")
    mdia.finish()
    mdhd.full_box_flags(0)
    mdhd.skip(8)  # creation_time, modification_time
    timescale = mdhd.u32()
    mdhd.expect("duration", mdhd.u32(), 0)
    hdlr.full_box_flags(0)
    hdlr.skip(4)  # pre_defined
    handler = hdlr.raw(4)
    if timescale == 0 or handler not in (b"vide", b"soun"):
        raise mdia.error(f"timescale {timescale}, handler {handler!r}")
    return {
        "handler": handler.decode("ascii"),
        "timescale": timescale,
        **read_minf(minf, handler == b"vide", timescale),
    }


cdef dict read_minf(BoxReader minf, bint is_video, uint32_t timescale):
    minf.child(b"vmhd" if is_video else b"smhd")
    cdef BoxReader dinf = minf.child(b"dinf")
    cdef BoxReader stbl = minf.child(b"stbl")
    minf.finish()
    cdef BoxReader dref = dinf.child(b"dref")
    dref.full_box_flags(0)
    dref.expect("entry_count", dref.u32(), 1)
    cdef BoxReader url = dref.child(b"url ")
    url.expect("flags", url.full_box_flags(0), URL_SELF_CONTAINED)
    cdef BoxReader stsd = stbl.child(b"stsd")
    expect_zeros(stbl.child(b"stts"))
    expect_zeros(stbl.child(b"stsc"))
    expect_zeros(stbl.child(b"stsz"))
    expect_zeros(stbl.child(b"stco"))
    stbl.finish()
    stsd.full_box_flags(0)
    stsd.expect("entry_count", stsd.u32(), 1)
    entry = stsd.child(b"avc1" if is_video else b"mp4a")
    stsd.finish()
    return read_avc1(entry) if is_video else read_mp4a(entry, timescale)


cdef int expect_zeros(BoxReader table) except -1:
    """Version, flags and every count of a sample table without samples."""
    while table.left():
        table.expect("only zeros in an empty table,", table.u32(), 0)
    return 0
