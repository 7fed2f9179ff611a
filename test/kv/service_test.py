#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The key-value service as its clients see it. Output: TAP.

usage: service_test.py KV REPLIES            runs the tests against that program
       service_test.py --observe REPLIES     writes REPLIES anew from what redis-server answers

REPLIES has one case a line: what a new connection sends, what it must receive, and whether the
connection is closed then. The expected replies are those of redis-server 7.0.15.
"""
import ast
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

KINDS = ("segv", "abort", "stack", "div", "exit", "loop")
MARK = b"*2\r\n$4\r\nECHO\r\n$9\r\nno-answer\r\n"
MARK_REPLY = b"$9\r\nno-answer\r\n"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Error(str):
    pass


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise AssertionError(f"no reply: {line!r}")

    def ask(self, *words):
        self.send(encode(*words))
        return self.reply()


class Service:
    def __init__(self, program, *arguments):
        self.child = subprocess.Popen([program, "--port", "0", "--watchdog-ms", "1000", *arguments],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      preexec_fn=die_with_parent)
        line = self.child.stdout.readline().decode()
        self.port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def client(self):
        return Client(self.port)

    def ask(self, *words):
        with self.client() as client:
            return client.ask(*words)

    def resident_mb(self):
        with open(f"/proc/{self.child.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def until(condition, seconds=10):
    """Asks again and again, since what it waits for sends no message."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not seen in time"


def equal(have, expected):
    assert have == expected, f"expected {expected!r}, have {have!r}"


# ---- the replies, byte for byte -----------------------------------------------------------------


def exchange(port, request):
    """What a request brings, and whether the connection is closed then. An ECHO after it marks the
    end; a request that waits for more bytes would swallow it, so there is none of that kind."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.sendall(MARK)
            while not received.endswith(MARK_REPLY):
                data = connection.recv(65536)
                if not data:
                    return received, True
                received += data
        except ConnectionError:
            return received, True
        return received[:-len(MARK_REPLY)], False


def read_cases(path):
    with open(path) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield ast.literal_eval(line)


def replies_are_those_of_redis(kv):
    different = []
    with Service(kv) as service:
        for request, expected, closed in read_cases(REPLIES):
            have = exchange(service.port, request)
            if have != (expected, closed):
                different.append(f"{request!r}: expected {expected!r} {closed}, have {have!r}")
    assert not different, "\n".join(different)


def observe(path):
    cases = list(read_cases(path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save",
                              "", "--appendonly", "no"], stdout=subprocess.DEVNULL,
                             preexec_fn=die_with_parent)
    try:
        def is_up():
            try:
                return exchange(port, b"PING\r\n")[0] == b"+PONG\r\n"
            except OSError:
                return False
        until(is_up)
        seen = [(case[0], *exchange(port, case[0])) for case in cases]
    finally:
        redis.terminate()
        redis.wait()
    with open(path, "w") as file:
        file.write("# What is sent, what redis-server 7.0.15 answered, whether it closed then.\n"
                   "# Written by service_test.py --observe; the connections follow one another.\n")
        for case in seen:
            file.write(f"{case!r}\n")


# ---- the protocol -------------------------------------------------------------------------------


def commands_may_come_byte_by_byte(kv):
    with Service(kv) as service, service.client() as client:
        for byte in encode("SET", "a", "x\r\ny") + b"GET a\r\n":
            client.send(bytes([byte]))
        equal(client.reply(), "OK")
        equal(client.reply(), b"x\r\ny")


def any_bytes_are_kept(kv):
    every = bytes(range(256))
    with Service(kv) as service, service.client() as client:
        equal(client.ask("SET", every, every * 3), "OK")
        equal(client.ask("GET", every), every * 3)
        equal(client.ask("KEYS", "*"), [every])


def a_pipeline_is_answered_in_order(kv):
    with Service(kv, "--shards", "4") as service, service.client() as client:
        sender = threading.Thread(target=client.send, args=(b"".join(
            encode("SET", f"k{i}", i) + encode("GET", f"k{i}") + encode("ECHO", i) + b"PING\r\n"
            for i in range(5000)),))
        sender.start()
        for i in range(5000):
            number = str(i).encode()
            equal([client.reply() for _ in range(4)], ["OK", number, number, "PONG"])
        sender.join()


def a_big_value_comes_back_whole(kv):
    value = random.Random(1).randbytes(20_000_000)
    with Service(kv) as service, service.client() as client:
        equal(client.ask("SET", "big", value), "OK")
        assert client.ask("GET", "big") == value
        equal(client.ask("STRLEN", "big"), len(value))


def values_beyond_the_limit_are_refused(kv):
    with Service(kv, "--max-bulk", "1000") as service:
        with service.client() as client:
            equal(client.ask("SET", "a", b"x" * 1000), "OK")
            equal(client.ask("APPEND", "a", b"y"),
                  "ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1001\r\n")
            equal(client.reply(), "ERR Protocol error: invalid bulk length")
            equal(client.file.read(), b"")
        equal(service.ask("STRLEN", "a"), 1000)


def a_client_that_does_not_read_costs_no_memory(kv):
    with Service(kv) as service, service.client() as client:
        equal(client.ask("SET", "a", b"v" * 1_000_000), "OK")
        before = service.resident_mb()
        request = encode("GET", "a") * 2000
        sender = threading.Thread(target=client.send, args=(request,))
        sender.start()
        with service.client() as other:  # the service goes on meanwhile
            for _ in range(2000):
                equal(other.ask("PING"), "PONG")
        highest = service.resident_mb()
        for _ in range(2000):
            equal(len(client.reply()), 1_000_000)
        sender.join()
        highest = max(highest, service.resident_mb())
        # Of 2 GB that are offered. Sanitizers hold some freed memory back.
        assert highest - before < 500, f"{before:.0f} MB grew to {highest:.0f} MB"


def clients_beyond_the_limit_are_told_so(kv):
    with Service(kv, "--max-clients", "2") as service:
        with service.client() as one, service.client() as two:
            equal([one.ask("PING"), two.ask("PING")], ["PONG", "PONG"])
            with service.client() as three:
                equal(three.reply(), "ERR max number of clients reached")
                equal(three.file.read(), b"")
        until(lambda: answers_ping(service))


def answers_ping(service):
    try:
        return service.ask("PING") == "PONG"
    except OSError:
        return False


def many_clients_are_served(kv):
    with Service(kv) as service:
        clients = [service.client() for _ in range(500)]
        for i, client in enumerate(clients):
            client.send(encode("INCR", "n") + encode("SET", f"k{i}", i))
        numbers = []
        for client in clients:
            numbers.append(client.reply())
            equal(client.reply(), "OK")
            client.__exit__()
        equal(sorted(numbers), list(range(1, 501)))
        equal(service.ask("DBSIZE"), 501)


# ---- the data -----------------------------------------------------------------------------------


def commands_over_several_shards_are_put_together(kv):
    with Service(kv, "--shards", "7") as service, service.client() as client:
        keys = [f"key{i}" for i in range(1000)]
        equal(client.ask("MSET", *[word for key in keys for word in (key, key.upper())]), "OK")
        equal(client.ask("MGET", *keys, "none"), [key.upper().encode() for key in keys] + [None])
        equal(client.ask("DBSIZE"), 1000)
        equal(client.ask("EXISTS", *keys, "none", keys[0]), 1001)
        equal(sorted(client.ask("KEYS", "key99?")), [b"key99%d" % i for i in range(10)])
        equal(client.ask("DEL", *keys[:400], "none"), 400)
        equal(client.ask("FLUSHALL"), "OK")
        equal(client.ask("KEYS", "*"), [])


def a_scan_finds_every_key(kv):
    with Service(kv, "--shards", "3") as service, service.client() as client:
        keys = {b"key%d" % i for i in range(3000)}
        for key in keys:
            client.send(encode("SET", key, ""))
        for _ in keys:
            equal(client.reply(), "OK")
        found, cursor, calls = set(), b"0", 0
        while calls == 0 or cursor != b"0":
            cursor, some = client.ask("SCAN", cursor, "COUNT", 100)
            found.update(some)
            calls += 1
        equal(found, keys)
        assert 20 <= calls <= 60, calls


def what_expires_goes_by_itself(kv):
    with Service(kv) as service, service.client() as client:
        for i in range(500):
            client.send(encode("SET", f"k{i}", i, "PX", 150 + i % 7))
        for _ in range(500):
            equal(client.reply(), "OK")
        equal(client.ask("SET", "stays", 1), "OK")
        until(lambda: client.ask("GET", "k1") is None)
        until(lambda: client.ask("DBSIZE") == 1)
        equal(client.ask("TTL", "stays"), -1)


# ---- crashes ------------------------------------------------------------------------------------


def fill(client, count=300):
    pairs = {f"key{i}": str(i * i).encode() for i in range(count)}
    equal(client.ask("MSET", *[word for pair in pairs.items() for word in pair]), "OK")
    return pairs


def a_shard_may_crash_in_any_way(kv):
    with Service(kv, "--shards", "2") as service, service.client() as witness:
        pairs = fill(witness)
        for kind in KINDS:
            for key in ("key1", "key2", "key3"):
                reply = service.ask("CRASH", kind, "shard", key)
                assert reply.startswith("ERR shard"), reply
                equal(witness.ask("MGET", *pairs), list(pairs.values()))


def a_connection_may_crash_in_any_way(kv):
    with Service(kv) as service, service.client() as witness:
        pairs = fill(witness)
        for kind in KINDS:
            with service.client() as client:
                client.send(encode("SET", kind, "done") + encode("CRASH", kind, "connection"))
                equal(client.reply(), "OK")
                equal(client.file.read(), b"")
            equal(witness.ask("GET", kind), b"done")
        equal(witness.ask("MGET", *pairs), list(pairs.values()))


def a_crash_takes_no_other_command_of_a_pipeline_along(kv):
    with Service(kv, "--shards", "1") as service, service.client() as client:
        client.send(encode("SET", "a", 1) + encode("CRASH", "segv") + encode("GET", "a"))
        equal(client.reply(), "OK")
        equal(client.reply(), "ERR shard 0 ended in the middle of this: {:sigsegv, 0}")
        equal(client.reply(), b"1")


def a_looping_shard_delays_only_its_own_callers(kv):
    with Service(kv, "--shards", "2") as service, service.client() as client:
        equal(client.ask("CRASH", "segv", "shard", "x"), client.ask("CRASH", "segv", "shard", "x"))
        fill(client, 50)
        with service.client() as looper, service.client() as waiting:
            looper.send(encode("CRASH", "loop", "shard"))
            waiting.send(b"".join(encode("GET", f"key{i}") for i in range(50)))
            for _ in range(100):
                equal(client.ask("PING"), "PONG")
            equal(looper.reply(), "ERR shard 0 ended in the middle of this: :killed")
            for i in range(50):
                reply = waiting.reply()
                assert reply == str(i * i).encode() or isinstance(reply, Error), reply
        for i in range(50):
            equal(client.ask("GET", f"key{i}"), str(i * i).encode())


def no_acknowledged_write_is_lost_while_shards_crash(kv):
    """Each INCR is done once when it is acknowledged, and at most once when it failed."""
    counts = {"done": 0, "failed": 0}
    lock = threading.Lock()

    def count(service):
        done = failed = 0
        with service.client() as client:
            for _ in range(300):
                reply = client.ask("INCR", "n")
                done += isinstance(reply, int)
                failed += isinstance(reply, Error)
        with lock:
            counts["done"] += done
            counts["failed"] += failed

    with Service(kv, "--shards", "1") as service:
        threads = [threading.Thread(target=count, args=(service,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        with service.client() as client:
            for i in range(30):
                client.ask("CRASH", KINDS[i % 5], "shard")
        for thread in threads:
            thread.join()
        n = int(service.ask("GET", "n"))
    equal(counts["done"] + counts["failed"], 2400)
    assert counts["done"] <= n <= 2400, (counts, n)


# ---- start and stop -----------------------------------------------------------------------------


def a_signal_stops_it_in_order(kv):
    for signum in (signal.SIGTERM, signal.SIGINT):
        with Service(kv) as service, service.client() as client:
            equal(client.ask("PING"), "PONG")
            service.child.send_signal(signum)
            equal(service.child.wait(20), 0)
            equal(client.file.read(), b"")


def wrong_arguments_are_refused(kv):
    for arguments in (["--port", "x"], ["--shards", "0"], ["--nosuch"], ["more"]):
        run = subprocess.run([kv, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=20)
        equal((run.returncode, run.stdout), (2, b""))


def redis_cli_is_a_client(kv):
    if shutil.which("redis-cli") is None:
        return
    with Service(kv) as service:
        commands = b"SET a 1\nINCR a\nMGET a b\nNOSUCH\n"
        run = subprocess.run(["redis-cli", "-p", str(service.port)], input=commands,
                             stdout=subprocess.PIPE, timeout=20)
        unknown = b"ERR unknown command 'NOSUCH', with args beginning with: \n\n"
        equal(run.stdout, b"OK\n2\n2\n\n" + unknown)


TESTS = [
    replies_are_those_of_redis,
    commands_may_come_byte_by_byte,
    any_bytes_are_kept,
    a_pipeline_is_answered_in_order,
    a_big_value_comes_back_whole,
    values_beyond_the_limit_are_refused,
    a_client_that_does_not_read_costs_no_memory,
    clients_beyond_the_limit_are_told_so,
    many_clients_are_served,
    commands_over_several_shards_are_put_together,
    a_scan_finds_every_key,
    what_expires_goes_by_itself,
    a_shard_may_crash_in_any_way,
    a_connection_may_crash_in_any_way,
    a_crash_takes_no_other_command_of_a_pipeline_along,
    a_looping_shard_delays_only_its_own_callers,
    no_acknowledged_write_is_lost_while_shards_crash,
    a_signal_stops_it_in_order,
    wrong_arguments_are_refused,
    redis_cli_is_a_client,
]


def main(kv, only):
    chosen = [test for test in TESTS if not only or any(word in test.__name__ for word in only)]
    print(f"TAP version 13\n1..{len(chosen)}", flush=True)
    bad = 0
    for number, test in enumerate(chosen, 1):
        problem = None
        try:
            test(kv)
        except Exception as caught:  # whatever it is, it is this test's failure
            problem = f"{type(caught).__name__}: {caught}"
        print(f"{'not ' if problem else ''}ok {number} - {test.__name__}", flush=True)
        if problem:
            bad += 1
            print("\n".join("# " + line for line in problem[:4000].split("\n")), flush=True)
    return bad != 0


if __name__ == "__main__":
    REPLIES = sys.argv[2]
    if sys.argv[1] == "--observe":
        observe(REPLIES)
    else:
        sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[3:]))
