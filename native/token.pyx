"""Playback tokens: a CWT (RFC 8392) with claims of the Common Access Token (CTA-5007).

    base64url( [61(] 17([ << {1: 5, 4: kid} >>, {}, << claims >>, HMAC-SHA-256 tag ]) [)] )
    claims: exp 4, nbf 5, iat 6, cti 7, catv 310 = 1, catu 312 = {path 3: {prefix match 1: text}}

Read strictly: exactly this shape, the shortest encoding of every length, no padding. A claim that
is not in the list could be a restriction that nobody here would keep, so it refuses the token.
The shape has no free nesting, so there is no recursion to bound.
"""

cimport cython

import hmac

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_GET_LENGTH

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(str)

cdef enum:
    TAG_BYTES = 32
    CLOCK_SKEW_S = 60
    # CBOR major types
    UNSIGNED = 0
    BYTES = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5
    TAGGED = 6
    # COSE and CWT
    TAG_CWT = 61
    TAG_COSE_MAC0 = 17
    HEADER_ALG = 1
    HEADER_KID = 4
    ALG_HMAC_256_256 = 5
    CLAIM_EXP = 4
    CLAIM_NBF = 5
    CLAIM_IAT = 6
    CLAIM_CTI = 7
    CLAIM_CATV = 310
    CLAIM_CATU = 312
    CATU_PATH = 3
    MATCH_PREFIX = 1

cdef Py_ssize_t VERIFIED_BUDGET_BYTES = 4 << 20  # some 9000 tokens; only good ones get in
cdef object compare_digest = hmac.compare_digest
cdef object digest = hmac.digest


cdef long long read_head(Reader* reader, int major) noexcept:
    """The argument of the next item, which must be of this major type, in its shortest form and
    below 2**63; 0 if not."""
    cdef int initial, extra
    cdef unsigned long long value = 0
    cdef Py_ssize_t i
    if reader.failed or reader.position >= reader.end:
        reader.failed = True
        return 0
    initial = reader.data[reader.position]
    reader.position += 1
    if initial >> 5 != major or initial & 31 > 27:
        reader.failed = True
        return 0
    if initial & 31 < 24:
        return initial & 31
    extra = 1 << ((initial & 31) - 24)
    if reader.end - reader.position < extra:
        reader.failed = True
        return 0
    for i in range(extra):
        value = (value << 8) | reader.data[reader.position + i]
    reader.position += extra
    if (value < 24 if extra == 1 else value >> (extra * 4) == 0) or value >> 63:
        reader.failed = True
        return 0
    return <long long>value


cdef Slice read_string(Reader* reader, int major) noexcept:
    cdef long long length = read_head(reader, major)
    cdef Slice found = Slice(reader.position, 0)
    if reader.failed or length > reader.end - reader.position:
        reader.failed = True
        return found
    found.length = length
    reader.position += length
    return found


cdef void expect(Reader* reader, int major, long long argument) noexcept:
    if read_head(reader, major) != argument:
        reader.failed = True


cdef inline bytes take(Reader* reader, Slice part):
    return PyBytes_FromStringAndSize(<const char*>reader.data + part.start, part.length)


cdef inline Reader reader_of(bytes data) noexcept:
    return Reader(<const unsigned char*>PyBytes_AS_STRING(data), 0, len(data), False)


cdef inline Reader reader_in(Reader* outer, Slice part) noexcept:
    return Reader(outer.data, part.start, part.start + part.length, outer.failed)


cdef inline int sextet(int character) noexcept:
    if c"A" <= character <= c"Z":
        return character - c"A"
    if c"a" <= character <= c"z":
        return character - c"a" + 26
    if c"0" <= character <= c"9":
        return character - c"0" + 52
    if character == c"-":
        return 62
    return 63 if character == c"_" else -1


cdef bytes decode_base64url(str text):
    """Without padding; None for anything that an encoder would not have written."""
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(text), i
    cdef const unsigned char* source = <const unsigned char*>PyUnicode_1BYTE_DATA(text)
    cdef bytes data
    cdef unsigned char* target
    cdef unsigned int bits = 0
    cdef int value
    if length % 4 == 1 or not PyUnicode_IS_ASCII(text):
        return None
    data = PyBytes_FromStringAndSize(NULL, length * 3 // 4)
    target = <unsigned char*>PyBytes_AS_STRING(data)
    for i in range(length):
        value = sextet(source[i])
        if value < 0:
            return None
        bits = (bits << 6) | value
        if i % 4:
            target[0] = (bits >> (6 - i % 4 * 2)) & 0xFF
            target += 1
    if length % 4 and bits & ((1 << (6 - (length % 4 - 1) * 2)) - 1):
        return None
    return data


@cython.final
cdef class Grant:
    cdef bint is_valid(self, double now_s) noexcept:
        return self.not_before_s - CLOCK_SKEW_S <= now_s < self.expires_at_s


cdef Slice read_item(Reader* reader, Slice* content) noexcept:
    """A byte string: the whole item, as it is signed, and what is in it."""
    cdef Py_ssize_t start = reader.position
    content[0] = read_string(reader, BYTES)
    return Slice(start, reader.position - start)


cdef Envelope read_envelope(Reader* reader) noexcept:
    cdef Envelope envelope
    if reader.end > 1 and reader.data[0] == 0xD8 and reader.data[1] == TAG_CWT:
        expect(reader, TAGGED, TAG_CWT)
    expect(reader, TAGGED, TAG_COSE_MAC0)
    expect(reader, ARRAY, 4)
    envelope.protected_item = read_item(reader, &envelope.protected)
    expect(reader, MAP, 0)  # no unprotected headers
    envelope.payload_item = read_item(reader, &envelope.payload)
    envelope.tag = read_string(reader, BYTES)
    if reader.position != reader.end or envelope.tag.length != TAG_BYTES:
        reader.failed = True
    return envelope


cdef bytes read_kid(Reader* reader):
    cdef Slice kid = Slice(0, 0)
    cdef bint has_alg = False, has_kid = False
    expect(reader, MAP, 2)
    for _ in range(2):
        label = read_head(reader, UNSIGNED)
        if label == HEADER_ALG and not has_alg:
            has_alg = True
            expect(reader, UNSIGNED, ALG_HMAC_256_256)
        elif label == HEADER_KID and not has_kid:
            has_kid = True
            kid = read_string(reader, BYTES)
        else:
            return None
    if reader.failed or reader.position != reader.end:
        return None
    return take(reader, kid)


cdef Slice read_catu(Reader* reader) noexcept:
    expect(reader, MAP, 1)
    expect(reader, UNSIGNED, CATU_PATH)
    expect(reader, MAP, 1)
    expect(reader, UNSIGNED, MATCH_PREFIX)
    return read_string(reader, TEXT)


cdef Grant read_claims(Reader* reader):
    cdef Grant grant = Grant.__new__(Grant)
    cdef Slice prefix = Slice(0, 0)
    cdef long long claim, previous = -1, count = read_head(reader, MAP)
    grant.expires_at_s = -1
    while count > 0 and not reader.failed:
        count -= 1
        claim = read_head(reader, UNSIGNED)
        if claim <= previous:  # RFC 8949 section 4.2: sorted, so that nothing comes twice
            return None
        previous = claim
        if claim == CLAIM_EXP:
            grant.expires_at_s = read_head(reader, UNSIGNED)
        elif claim == CLAIM_NBF:
            grant.not_before_s = read_head(reader, UNSIGNED)
        elif claim == CLAIM_IAT:
            read_head(reader, UNSIGNED)
        elif claim == CLAIM_CTI:
            read_string(reader, BYTES)
        elif claim == CLAIM_CATV:
            expect(reader, UNSIGNED, 1)
        elif claim == CLAIM_CATU:
            prefix = read_catu(reader)
        else:
            return None
    if reader.failed or reader.position != reader.end or grant.expires_at_s < 0:
        return None
    text = take(reader, prefix)
    if not (text.startswith(b"/") and text.endswith(b"/") and text.isascii()):
        return None
    grant.prefix = text.decode("ascii")
    return grant


@cython.final
cdef class TokenVerifier:
    def __init__(self, secrets):
        if not secrets:
            raise ValueError("a verifier needs at least one key")
        self._secrets = dict(secrets)
        self._verified = LruCache(VERIFIED_BUDGET_BYTES, VERIFIED_BUDGET_BYTES)

    def verify(self, str token not None, double now_s):
        """What the token opens now, or None; all reasons look the same."""
        return self.open(token, now_s)

    cdef Grant open(self, str token, double now_s):
        cdef Grant grant = self._verified.lookup(token, now_s)
        if grant is None:
            grant = self._verify(token)
            if grant is None:
                return None
            if grant.expires_at_s > now_s:
                self._verified.put(token, grant, len(grant.prefix), grant.expires_at_s)
        return grant if grant.is_valid(now_s) else None

    cdef Grant _verify(self, str token):
        cdef bytes data
        cdef Reader reader, part
        cdef Envelope envelope
        if not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            return None
        data = decode_base64url(token)
        if data is None:
            return None
        reader = reader_of(data)
        envelope = read_envelope(&reader)
        if reader.failed or not self._is_signed(&reader, envelope):
            return None
        part = reader_in(&reader, envelope.payload)
        return read_claims(&part)

    cdef bint _is_signed(self, Reader* reader, Envelope envelope):
        cdef Reader part = reader_in(reader, envelope.protected)
        kid = read_kid(&part)
        secret = None if kid is None else self._secrets.get(kid)
        if secret is None:
            return False
        # Mac_structure of RFC 9052 section 6.3: ["MAC0", protected, no external data, payload]
        signed = (b"\x84\x64MAC0" + take(reader, envelope.protected_item)
                  + b"\x40" + take(reader, envelope.payload_item))
        return compare_digest(digest(secret, signed, "sha256"), take(reader, envelope.tag))
