"""Cases for a member of the store, run by grpcio (the C core), a foreign gRPC stack.

Run as `grpc_cases.py ENDPOINT TRANSPORT` by python-grpc.test.ts. Writes one JSON line with the names of its cases, then
reads case names from standard input and answers each with a JSON line: `{"ok": true}` or `{"error": text}`. In between
a case may write `{"do": action}`; it goes on with the next line it can read.
"""

import json
import queue
import re
import sys
import threading
import traceback
import urllib.request

import grpc
from relay import Relay
from wire import Message, encode

ENDPOINT = sys.argv[1]
TRANSPORT = sys.argv[2]
KV = "/etcdserverpb.KV/"
LEASE = "/etcdserverpb.Lease/"
WATCH = "/etcdserverpb.Watch/Watch"
MIB = 1024 * 1024
# Nothing takes so long; without it a failure would be a hang.
WITHIN_S = 30
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]


def open_channel(*options, endpoint=ENDPOINT, **more):
    return grpc.insecure_channel(endpoint, options=OPTIONS + list(options), **more)


channel = open_channel()


def call(path, *fields, on=None, **more):
    more.setdefault("timeout", WITHIN_S)
    return Message((on or channel).unary_unary(path)(encode(*fields), **more))


def put(key, value, **more):
    return call(KV + "Put", (1, key), (2, value), **more)


def get(key, **more):
    return call(KV + "Range", (1, key), **more).messages(2)


def end_of(prefix):
    return prefix[:-1] + bytes([prefix[-1] + 1])


def refusal(path, *fields, **more):
    try:
        call(path, *fields, **more)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"{path} was not refused")


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r:.500}, wanted {wanted!r:.500}")


def say(message):
    print(json.dumps(message), flush=True)


def wait_for(action):
    """Has the parent process do something to the server."""
    say({"do": action})
    sys.stdin.readline()


class Stream:
    """A bidirectional stream whose requests are sent one by one."""

    def __init__(self, path, on=None, **more):
        self._requests = queue.Queue()
        self.call = (on or channel).stream_stream(path)(iter(self._requests.get, None), **more)

    def send(self, *fields):
        self._requests.put(encode(*fields))

    def half_close(self):
        self._requests.put(None)

    def receive(self):
        return Message(next(self.call))


class Watch(Stream):
    def __init__(self, **more):
        super().__init__(WATCH, **more)

    def create(self, *fields):
        """Starts a watch and returns its id."""
        self.send((1, encode(*fields)))
        created = self.receive()
        equal(created.number(3), 1)
        return created.number(2)


def watchers():
    page = urllib.request.urlopen(f"http://{ENDPOINT}/metrics", timeout=WITHIN_S).read().decode()
    return float(re.search(r"^etcd_debugging_mvcc_watcher_total (\S+)", page, re.M).group(1))


# ---- cases ----


def case_unary():
    key = b"unary"
    first = put(key, b"one").message(1).number(3)
    put(key, b"two")
    (row,) = get(key)
    equal([row.bytes(1), row.bytes(5), row.number(4)], [key, b"two", 2])
    (past,) = call(KV + "Range", (1, key), (4, first)).messages(2)
    equal(past.bytes(5), b"one")
    deleted = call(KV + "DeleteRange", (1, key), (3, 1))
    equal([deleted.number(2), deleted.messages(3)[0].bytes(5)], [1, b"two"])
    equal(get(key), [])


def case_txn():
    def txn():
        absent = encode((1, 0), (2, 1), (3, b"txn"), (5, 0))
        write = encode((2, encode((1, b"txn"), (2, b"mine"))))
        read = encode((1, encode((1, b"txn"))))
        return call(KV + "Txn", (1, absent), (2, write), (2, read), (3, read))

    first, second = txn(), txn()
    equal([first.number(2), len(first.messages(3))], [1, 2])
    equal([second.number(2), len(second.messages(3))], [0, 1])
    (row,) = second.messages(3)[0].message(1).messages(2)
    equal(row.bytes(5), b"mine")


def case_errors():
    code = grpc.StatusCode
    twice = (2, encode((2, encode((1, b"same")))))
    equal(
        [
            refusal(KV + "Put", (2, b"value")),
            refusal(KV + "Range", (1, b"k"), (4, 10**9)),
            refusal(LEASE + "LeaseRevoke", (1, 12345)),
            refusal(KV + "Put", (1, b"k"), (3, 12345)),
            refusal(KV + "Txn", twice, twice),
            refusal(KV + "Put", (1, b"k"), (2, b"v"), (5, 1)),
            refusal(KV + "Put", (1, b"absent"), (5, 1)),
        ],
        [
            (code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
            (code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"),
            (code.NOT_FOUND, "etcdserver: requested lease not found"),
            (code.NOT_FOUND, "etcdserver: requested lease not found"),
            (code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"),
            (code.INVALID_ARGUMENT, "etcdserver: value is provided"),
            (code.INVALID_ARGUMENT, "etcdserver: key not found"),
        ],
    )
    unknown = [refusal(KV + "Nothing"), refusal("/no.Such/Thing")]
    equal([each[0] for each in unknown], [code.UNIMPLEMENTED] * 2)
    if TRANSPORT == "http2":
        equal(unknown[0][1], "unknown method Nothing for service etcdserverpb.KV")
        equal(unknown[1][1], "unknown service no.Such")
    # The channel is still good after all that.
    put(b"after", b"errors")


def case_sizes():
    big = bytes(range(256)) * (MIB // 256)
    for n in range(6):
        put(b"size/%d" % n, big)
    equal(get(b"size/3")[0].bytes(5) == big, True)
    rows = call(KV + "Range", (1, b"size/"), (2, end_of(b"size/"))).messages(2)
    equal([row.bytes(1) for row in rows], [b"size/%d" % n for n in range(6)])
    equal(all(row.bytes(5) == big for row in rows), True)
    code = grpc.StatusCode
    refused = refusal(KV + "Put", (1, b"k"), (2, bytes(1_700_000)))
    equal(refused, (code.INVALID_ARGUMENT, "etcdserver: request is too large"))
    status, text = refusal(KV + "Put", (1, b"k"), (2, bytes(3 * MIB)))
    equal(status, code.RESOURCE_EXHAUSTED)
    limit = MIB * 3 // 2 + 512 * 1024
    size = len(encode((1, b"k"), (2, bytes(3 * MIB))))
    equal(text, f"grpc: received message larger than max ({size} vs. {limit})")


def case_range_stream():
    rows = {b"stream/%04d" % n: b"%d" % n * 5000 for n in range(500)}
    for done in [
        channel.unary_unary(KV + "Put").future(encode((1, key), (2, value)), timeout=WITHIN_S)
        for key, value in rows.items()
    ]:
        done.result()
    stream = channel.unary_stream(KV + "RangeStream")
    chunks = [
        Message(each).message(1)
        for each in stream(encode((1, b"stream/"), (2, end_of(b"stream/"))), timeout=WITHIN_S)
    ]
    equal(len(chunks) > 1, True)
    got = {row.bytes(1): row.bytes(5) for chunk in chunks for row in chunk.messages(2)}
    equal(got == rows, True)
    equal([chunk.number(4) for chunk in chunks if chunk.has(1)], [500])


def case_deadline():
    put(b"deadline", b"connected")
    before = watchers()
    watch = Watch(timeout=0.5)
    watch.create((1, b"deadline"))
    try:
        watch.receive()
        raise AssertionError("a message after the deadline")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    while watchers() > before:
        pass
    # A unary call whose server does not get to answer in time, and what follows when it does.
    wait_for("suspend")
    refused = refusal(KV + "Range", (1, b"deadline"), timeout=0.5)
    wait_for("go on")
    equal(refused[0], grpc.StatusCode.DEADLINE_EXCEEDED)
    equal(get(b"deadline")[0].bytes(5), b"connected")


def case_watch():
    watch = Watch(timeout=WITHIN_S)
    one = watch.create((1, b"watch/a"))
    several = watch.create((1, b"watch/"), (2, end_of(b"watch/")), (6, 1))
    no_puts = watch.create((1, b"watch/"), (2, end_of(b"watch/")), (5, 0))
    equal(len({one, several, no_puts}), 3)
    put(b"watch/a", b"1")
    put(b"watch/b", b"2")
    call(KV + "DeleteRange", (1, b"watch/a"))
    seen = {one: [], several: [], no_puts: []}
    while [len(events) for events in seen.values()] != [2, 3, 1]:
        response = watch.receive()
        for event in response.messages(11):
            row = event.message(2)
            seen[response.number(2)].append((event.number(1), row.bytes(1), row.bytes(5)))
    removed = (1, b"watch/a", b"")
    equal(seen[one], [(0, b"watch/a", b"1"), removed])
    equal(seen[several], [(0, b"watch/a", b"1"), (0, b"watch/b", b"2"), removed])
    equal(seen[no_puts], [removed])
    watch.send((2, encode((1, several))))
    cancelled = watch.receive()
    equal([cancelled.number(2), cancelled.number(4)], [several, 1])
    # Like etcd's, the stream outlasts the client's side of it.
    watch.half_close()
    put(b"watch/a", b"3")
    equal(watch.receive().messages(11)[0].message(2).bytes(5), b"3")
    watch.call.cancel()


def case_cancel():
    before = watchers()
    watch = Watch()
    for n in range(5):
        watch.create((1, b"cancel/%d" % n))
    equal(watchers(), before + 5)
    watch.call.cancel()
    try:
        watch.receive()
        raise AssertionError("a message after the cancellation")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.CANCELLED)
    while watchers() > before:
        pass


def case_lease():
    lease = call(LEASE + "LeaseGrant", (1, 60)).number(2)
    put(b"leased", b"x")
    call(KV + "Put", (1, b"leased"), (3, lease))
    keepalive = Stream(LEASE + "LeaseKeepAlive", timeout=WITHIN_S)
    for _ in range(20):
        keepalive.send((1, lease))
        answer = keepalive.receive()
        equal([answer.number(2), answer.number(3)], [lease, 60])
    keepalive.send((1, 4711))
    equal(keepalive.receive().number(3), 0)
    keepalive.half_close()
    equal(list(keepalive.call), [])
    left = call(LEASE + "LeaseTimeToLive", (1, lease), (2, 1))
    equal([left.number(4), left.bytes(5)], [60, b"leased"])
    call(LEASE + "LeaseRevoke", (1, lease))
    equal(get(b"leased"), [])


def case_gzip():
    relay = Relay(ENDPOINT)
    text = b"compressible " * 80_000
    packing = grpc.Compression.Gzip
    with open_channel(endpoint=relay.endpoint, compression=packing) as packed:
        put(b"gzip/a", text, on=packed)
        equal(get(b"gzip/a", on=packed)[0].bytes(5) == text, True)
        equal(get(b"gzip/none", on=packed), [])
        limits = refusal(KV + "Put", (2, b"no key"), on=packed)
        equal(limits[1], "etcdserver: key is not provided")
        watch = Watch(on=packed, timeout=WITHIN_S)
        watch.create((1, b"gzip/"), (2, end_of(b"gzip/")))
        for value in (b"small", text, b"", text):
            put(b"gzip/b", value, on=packed)
        events = []
        while len(events) < 4:
            events += watch.receive().messages(11)
        values = [event.message(2).bytes(5) for event in events]
        equal(values == [b"small", text, b"", text], True)
        # A reply in parts, which is never compressed.
        for n in range(5):
            put(b"gzip/c%d" % n, text, on=packed)
        before_parts = relay.received
        rows = call(KV + "Range", (1, b"gzip/c"), (2, b"gzip/d"), on=packed).messages(2)
        equal(all(row.bytes(5) == text for row in rows) and len(rows) == 5, True)
        watch.call.cancel()
    if TRANSPORT == "http2":
        equal(before_parts < len(text), True)
    relay.close()
    # One compressed call among others on a channel that does not compress.
    put(b"gzip/e", text, compression=grpc.Compression.Gzip)
    equal(get(b"gzip/e")[0].bytes(5) == text, True)


def case_concurrent():
    store = channel.unary_unary(KV + "Put")
    read = channel.unary_unary(KV + "Range")
    count = 200

    def value(n):
        return b"%d," % n * (1 + n * 7 % 3000)

    with open_channel(("grpc.max_concurrent_streams", count)) as other:
        other.unary_unary(KV + "Range")(encode((1, b"x")), timeout=WITHIN_S)
        puts = [
            store.future(encode((1, b"many/%03d" % n), (2, value(n))), timeout=WITHIN_S)
            for n in range(count)
        ]
        revisions = {Message(each.result()).message(1).number(3) for each in puts}
        equal(len(revisions), count)
        reads = [
            read.future(encode((1, b"many/%03d" % n)), timeout=WITHIN_S) for n in range(count)
        ]
        for n, each in enumerate(reads):
            (row,) = Message(each.result()).messages(2)
            equal(row.bytes(5) == value(n), True)


def case_metadata():
    metadata = (
        ("hasleader", "true"),
        ("client-api-version", "3.6.0"),
        ("trace-bin", bytes(range(256))),
        ("trace-bin", b""),
        ("token", "not checked while authentication is off"),
        ("long", "v" * 4000),
    )
    put(b"metadata", b"x", metadata=metadata)
    watch = Watch(metadata=metadata, timeout=WITHIN_S)
    watch.create((1, b"metadata"))
    put(b"metadata", b"y")
    equal(watch.receive().messages(11)[0].message(2).bytes(5), b"y")
    watch.call.cancel()


def case_keepalive():
    pings = (
        ("grpc.keepalive_time_ms", 200),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_time_between_pings_ms", 100),
        ("grpc.http2.bdp_probe", 0),
    )
    ready = grpc.ChannelConnectivity.READY
    with open_channel(*pings) as busy, open_channel(*pings) as idle:
        states = []
        busy.subscribe(states.append)
        # A call open: pings as often as the server was told to permit.
        watch = Watch(on=busy, timeout=WITHIN_S)
        watch.create((1, b"keepalive"))
        put(b"keepalive", b"0")
        equal(watch.receive().messages(11)[0].message(2).bytes(5), b"0")
        # None open: like etcd, the server ends a connection that pings then. Meanwhile the other has pinged as often.
        left_ready = threading.Event()
        was_ready = threading.Event()

        def on_state(state):
            if state is ready:
                was_ready.set()
            elif was_ready.is_set():
                left_ready.set()

        idle.subscribe(on_state)
        equal(get(b"nothing", on=idle), [])
        if TRANSPORT == "http2":
            equal(left_ready.wait(WITHIN_S), True)
        put(b"keepalive", b"1", on=idle)
        equal(watch.receive().messages(11)[0].message(2).bytes(5), b"1")
        equal(all(state is ready for state in states[states.index(ready) :]), True)
        watch.call.cancel()


def case_stop():
    watch = Watch()
    watch.create((1, b"stop"))
    put(b"stop", b"before")
    equal(watch.receive().messages(11)[0].message(2).bytes(5), b"before")
    wait_for("stop")
    try:
        while True:
            watch.receive()
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
    status, _ = refusal(KV + "Put", (1, b"stop"), (2, b"after"), timeout=WITHIN_S)
    equal(status, grpc.StatusCode.UNAVAILABLE)


def main():
    prefix = "case_"
    cases = {name[len(prefix) :]: case for name, case in globals().items() if name.startswith(prefix)}
    say({"cases": list(cases)})
    for line in iter(sys.stdin.readline, ""):
        try:
            cases[line.strip()]()
            say({"ok": True})
        except Exception:
            say({"error": traceback.format_exc()})


main()
