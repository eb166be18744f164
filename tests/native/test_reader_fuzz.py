import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from native import reader
from tests.native.test_reader import AUDIO_INIT, AUDIO_SEGMENT, VIDEO_INIT, VIDEO_SEGMENT


def _read(data: bytes, nal_length_size: int) -> None:
    """Every outcome other than facts or ValueError, a crash among them, fails the test."""
    for read in (
        reader.read_init,
        lambda d: reader.read_segment(d, nal_length_size=nal_length_size),
    ):
        try:
            read(data)
        except ValueError:
            continue


@given(st.binary(max_size=300), st.sampled_from([0, 4]))
@example(b"\0\0\0\0ftyp", 0)
@example(b"\0\0\0\1ftyp\0\0\0\0\0\0\0\x10", 0)
@example(b"\xff\xff\xff\xffftyp", 0)
def test_garbage_is_refused(data: bytes, nal_length_size: int) -> None:
    _read(data, nal_length_size)


FILES = [VIDEO_INIT, AUDIO_INIT, VIDEO_SEGMENT, AUDIO_SEGMENT]


@given(st.sampled_from(FILES), st.data())
def test_changed_files_are_refused_or_understood(file: bytes, data: st.DataObject) -> None:
    changed = bytearray(file[: data.draw(st.integers(0, len(file)))])
    positions = st.integers(0, len(file) - 1)
    words = st.sampled_from([b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
    for position, word in data.draw(
        st.lists(st.tuples(positions, words | st.binary(min_size=1, max_size=4)), max_size=4)
    ):
        changed[position : position + len(word)] = word[: max(0, len(changed) - position)]
    _read(bytes(changed), data.draw(st.sampled_from([0, 4])))


@pytest.mark.parametrize("file", FILES, ids=["video init", "audio init", "video", "audio"])
def test_every_cut_is_refused(file: bytes) -> None:
    for size in range(len(file)):
        with pytest.raises(ValueError, match=" at "):
            if file in FILES[:2]:
                reader.read_init(file[:size])
            else:
                reader.read_segment(file[:size], nal_length_size=4 if file is FILES[2] else 0)
