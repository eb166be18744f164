"""HTTP/1.1 of the origin (RFC 9112): requests whose head is all there is to them.

A head is read where it lies and its answer is written from where it is kept, both in the callback
that brought it: a body is never copied, however slowly it is taken.
"""

cimport cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from native.head cimport Head, may_begin, read_head, request_of
from native.origin cimport Core, Miss, Response
from native.origin import plain

from email.utils import formatdate

cdef extern from "<string.h>" nogil:
    const char* find_bytes "memmem"(const char*, size_t, const char*, size_t)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    Py_ssize_t writev(int, const iovec*, int)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    enum: CLOCK_REALTIME
    enum: CLOCK_MONOTONIC
    int clock_gettime(int, timespec*)

MAX_HEAD_BYTES = 32 << 10  # CloudFront sends at most 20 KiB

cdef Py_ssize_t most_head_bytes = MAX_HEAD_BYTES

cdef double seconds(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <double>now.tv_sec + <double>now.tv_nsec * 1e-9


cdef dict REFUSALS = {
    400: plain(400, "this is no request of HTTP/1.1", "no-store"),
    431: plain(431, f"the head of a request has at most {MAX_HEAD_BYTES} bytes", "no-store"),
    505: plain(505, "only HTTP/1.1 is spoken here", "no-store"),
}


cdef inline void fill_part(iovec* part, bytes data) noexcept:
    part.iov_base = PyBytes_AS_STRING(data)
    part.iov_len = PyBytes_GET_SIZE(data)


@cython.final
cdef class Connections:
    """All connections of a process, and what they share."""

    cdef readonly set open
    cdef public bint leaving  # every answer is the last of its connection
    cdef readonly long long bytes_sent  # or left to a transport
    cdef Core _core
    cdef object _fill         # (connection, miss): calls connection.finish, at once or later
    cdef long _date_s
    cdef bytes _date
    cdef bytes _date_and_close

    def __init__(self, Core core not None, fill not None):
        self.open = set()
        self._core = core
        self._fill = fill

    def close_idle(self, double patience_s):
        """Those that have sent no whole request for so long, or lingered behind their last."""
        cdef Connection connection
        cdef double then_s = seconds(CLOCK_MONOTONIC) - patience_s
        for each in list(self.open):
            connection = <Connection>each
            if not connection._busy and not connection._blocked and connection._since_s < then_s:
                connection._transport.close()

    @property
    def under_way(self):
        """How many of them wait for an answer, or for a client to take it."""
        cdef Connection connection
        cdef Py_ssize_t count = 0
        for each in self.open:
            connection = <Connection>each
            count += connection._busy or connection._blocked
        return count

    cdef bytes _last_lines(self, bint is_last):
        """RFC 9110 section 6.6.1: whoever has a clock tells the date."""
        cdef timespec now
        clock_gettime(CLOCK_REALTIME, &now)
        if now.tv_sec != self._date_s:
            self._date_s = now.tv_sec
            date = f"date: {formatdate(now.tv_sec, usegmt=True)}\r\n"
            self._date = f"{date}\r\n".encode()
            self._date_and_close = f"{date}connection: close\r\n\r\n".encode()
        return self._date_and_close if is_last else self._date


@cython.final
cdef class Connection:
    """An asyncio protocol. Answers stand in the order of the requests: while one waits, or is not
    yet taken, what else the client sends is left for later, and no more of it is read."""

    cdef Connections _all
    cdef object _transport
    cdef int _descriptor
    cdef bytes _rest       # received, not yet understood
    cdef bint _busy        # a miss is being filled
    cdef bint _blocked     # the transport holds what the kernel did not take
    cdef bint _has_eof     # the client has closed its side
    cdef bint _is_last     # of the requests
    cdef bint _ended       # answered the last; lingers until the client has read it
    cdef double _since_s   # when it began to wait for a request, by the monotonic clock

    def __init__(self, Connections connections not None):
        self._all = connections
        self._rest = b""

    def connection_made(self, transport):
        self._transport = transport
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._since_s = seconds(CLOCK_MONOTONIC)
        transport.set_write_buffer_limits(0)  # told of the first byte that waits
        self._all.open.add(self)

    def connection_lost(self, exception):
        self._transport = None
        self._all.open.discard(self)

    def data_received(self, bytes data not None):
        if not self._ended:
            self._work(self._rest + data if self._rest else data)

    def eof_received(self):
        self._has_eof = self._is_last = True
        return self._busy  # True: stay open to answer. Otherwise what was written is still sent

    def pause_writing(self):
        self._blocked = True

    def resume_writing(self):
        self._blocked = False
        self._go_on()

    def finish(self, Response response):
        """Answer the request whose miss was filled; None when it cannot be answered."""
        self._busy = False
        if self._transport is None or self._transport.is_closing():
            return
        if response is None:
            self._transport.abort()
            return
        self._send(response)
        if not self._blocked:
            self._go_on()

    cdef _go_on(self):
        self._since_s = seconds(CLOCK_MONOTONIC)
        if not self._ended:
            self._transport.resume_reading()
            self._work(self._rest)

    cdef _work(self, bytes data):
        cdef const char* at = PyBytes_AS_STRING(data)
        cdef const char* end = at + PyBytes_GET_SIZE(data)
        cdef const char* stop
        self._rest = b""
        while at < end and not self._ended:
            if self._busy or self._blocked:
                self._rest = at[:end - at]
                self._transport.pause_reading()
                return
            if end - at > 1 and at[0] == c"\r" and at[1] == c"\n":
                at += 2  # an empty line before a request: RFC 9112 section 2.2
                continue
            stop = find_bytes(at, end - at, b"\r\n\r\n", 4)
            if stop is NULL or stop + 4 - at > most_head_bytes:
                if end - at > most_head_bytes:
                    self._refuse(431)
                elif not may_begin(at[0]):
                    self._refuse(400)  # it never ends; TLS, for one
                else:
                    self._rest = at[:end - at]
                return
            self._answer(at, stop + 4 - at)
            at = stop + 4

    cdef _answer(self, const char* start, Py_ssize_t length):
        cdef Head head
        cdef int refusal = read_head(start, length, &head)
        if refusal:
            self._refuse(refusal)
            return
        self._since_s = seconds(CLOCK_MONOTONIC)
        self._is_last |= head.is_last
        answer = self._all._core.respond(request_of(&head), seconds(CLOCK_REALTIME))
        if type(answer) is Miss:
            self._busy = True
            self._all._fill(self, answer)
        else:
            self._send(<Response>answer)

    cdef _refuse(self, int status):
        self._is_last = True
        self._send(REFUSALS[status])

    cdef _send(self, Response response):
        cdef bint is_last = self._is_last or self._all.leaving
        cdef bytes head = response.head(), lines = self._all._last_lines(is_last)
        cdef iovec[3] parts  # transport.writelines takes 7 % more of a small hit
        cdef Py_ssize_t sent, whole
        fill_part(&parts[0], head)
        fill_part(&parts[1], lines)
        fill_part(&parts[2], response.body)
        whole = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len
        self._all.bytes_sent += whole
        sent = max(writev(self._descriptor, parts, 3), 0)  # the transport meets the error again
        if sent < whole:
            self._leave_to_transport((head, lines, response.body), sent)
        if is_last:
            self._end()

    cdef _leave_to_transport(self, tuple parts, Py_ssize_t sent):
        for part in parts:
            if sent < len(part):
                self._transport.write(memoryview(part)[sent:])
            sent = max(sent - len(part), 0)

    cdef _end(self):
        """RFC 9112 section 9.6: were it closed at once, what the client still sends would make
        the kernel throw the answer away. So that is read, until the client closes its side."""
        self._ended = True
        self._rest = b""
        if self._has_eof:
            self._transport.close()
        else:
            self._transport.write_eof()
            self._transport.resume_reading()
