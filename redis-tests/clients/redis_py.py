"""redis_py.py plain|cluster PORT: redis-py as it comes with Debian, as an application uses it."""
import sys
import time

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError, WatchError

KEYS = 300
BINARY = bytes(range(256))
BIG = b"0123456789abcdef" * 312_500
MODE, PORT = sys.argv[1], int(sys.argv[2])
CLUSTER = MODE == "cluster"


def connect():
    if CLUSTER:
        return RedisCluster(host="127.0.0.1", port=PORT, socket_timeout=60)
    return redis.Redis(port=PORT, socket_timeout=60)


def restart(port):
    """Has the driver end a node (the one that answers Redis clients on this port) and start it again."""
    print(f"restart {port}", flush=True)
    assert sys.stdin.readline() == "done\n"


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def equal(got, wanted):
    assert got == wanted, f"{got!r}, not {wanted!r}"


def refused(text, function, *args, **more):
    try:
        function(*args, **more)
    except ResponseError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"not refused: {text}")


def check_connect(r):
    assert r.ping()
    r.flushall()


def check_resp3(r):
    """redis-py 4 speaks RESP2; it can say HELLO by hand on a connection of its own."""
    connection = redis.Connection(port=PORT)
    connection.send_command("HELLO", "2")
    answer = connection.read_response()
    equal(dict(zip(answer[::2], answer[1::2]))[b"proto"], 2)
    connection.disconnect()


def check_strings(r):
    equal(r.set("s", "v"), True)
    equal(r.get("s"), b"v")
    equal(r.get("missing"), None)
    equal(r.set("s", "w", nx=True), None)
    equal(r.set("s", "w", ex=100, get=True), b"v")
    equal(r.append("s", "xyz"), 4)
    equal(r.strlen("s"), 4)
    equal(r.getrange("s", 1, 2), b"xy")
    equal(r.setrange("s", 0, "W"), 4)
    equal(r.getset("s", "n"), b"Wxyz")
    equal(r.getex("s", persist=True), b"n")
    equal(r.getdel("s"), b"n")
    equal(r.setnx("s", 1), True)
    equal(r.setex("s2", 100, "x"), True)
    equal(r.mset({"{m}1": "a", "{m}2": "b"}), True)
    equal(r.mget("{m}1", "{m}2", "{m}3"), [b"a", b"b", None])
    refused("invalid expire time in 'set' command", r.set, "s", "v", ex=0)


def check_counters(r):
    equal(r.incr("n"), 1)
    equal(r.incrby("n", 9), 10)
    equal(r.decr("n"), 9)
    equal(r.decrby("n", 4), 5)
    equal(r.incrbyfloat("n", 0.5), 5.5)
    refused("value is not an integer or out of range", r.incr, "n")


def check_bits(r):
    equal(r.setbit("b", 7, 1), 0)
    equal(r.getbit("b", 7), 1)
    equal(r.bitcount("b"), 1)
    equal(r.bitpos("b", 1), 7)
    equal(r.bitfield("b").incrby("u8", 0, 4).get("u4", 4).execute(), [5, 5])
    equal(r.bitop("NOT", "{b}2", "{b}1"), 0)


def check_keys(r):
    r.set("{k}1", "v", ex=100)
    assert r.ttl("{k}1") > 90
    equal(r.persist("{k}1"), True)
    equal(r.expireat("{k}1", 4000000000), True)
    equal(r.execute_command("EXPIRETIME", "{k}1"), 4000000000)
    equal(r.copy("{k}1", "{k}2"), True)
    equal(r.rename("{k}2", "{k}3"), True)
    equal(r.exists("{k}1", "{k}2", "{k}3"), 2)
    equal(r.type("{k}1"), b"string")
    equal(r.object("ENCODING", "{k}1"), b"embstr")
    equal(r.restore("{k}4", 0, r.dump("{k}1")), b"OK")
    equal(r.get("{k}4"), b"v")
    equal(r.unlink("{k}1", "{k}3", "{k}4"), 3)


def check_pipeline(r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(KEYS):
            pipe.set(f"p{i}", i).get(f"p{i}")
        replies = pipe.execute()
    equal(replies[1::2], [b"%d" % i for i in range(KEYS)])


def check_transaction(r):
    if CLUSTER:  # redis-py 4 has no transactions over a cluster: to the key's node, then
        r = r.get_redis_connection(r.get_node_from_key("{t}a"))
    with r.pipeline() as pipe:
        equal(pipe.set("{t}a", 1).incr("{t}a").get("{t}b").execute(), [True, 2, None])
        pipe.watch("{t}a")
        r.set("{t}a", "other")
        pipe.multi()
        pipe.set("{t}a", "mine")
        try:
            pipe.execute()
        except WatchError:
            return
    raise AssertionError("the watched key was changed, and EXEC did not mind")


def check_pubsub(r):
    heard = []
    subscriber = r.pubsub()
    subscriber.subscribe("news", "weather")
    subscriber.psubscribe("n*")

    def both_heard():
        message = subscriber.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message:
            heard.append(message["data"])
        # redis-py 4 subscribes at the node that has the channel's slot.
        (r.get_redis_connection(r.get_node_from_key("news")) if CLUSTER else r).publish("news", "hello")
        return len(heard) >= 2

    until(both_heard, "the message")
    equal(heard[:2], [b"hello", b"hello"])
    subscriber.close()


def check_scan(r):
    for i in range(KEYS):
        r.set(f"scan:{i}", i)
    equal(set(r.scan_iter("scan:*", count=50)), {f"scan:{i}".encode() for i in range(KEYS)})


def check_big_and_binary(r):
    r.set("big", BIG)
    equal(r.get("big") == BIG, True)
    r.set(BINARY, BINARY)
    equal(r.get(BINARY), BINARY)


def check_cluster_map(r):
    connection = redis.Redis(port=PORT)
    slots = connection.execute_command("CLUSTER SLOTS")
    equal(sum(last - first + 1 for first, last, *_ in slots), 16384)
    if CLUSTER:
        equal(len(r.nodes_manager.slots_cache), 16384)
        for i in range(KEYS):
            equal(r.get(f"scan:{i}"), b"%d" % i)


def check_reconnect(r):
    r.set("kept", "yes")
    restart(PORT)
    until(lambda: r.get("kept") == b"yes", "the value after a restart")
    equal(r.set("kept", "still"), True)


def main():
    r = connect()
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            try:
                check(r)
            except Exception:
                print(f"failed {name[6:]}", flush=True)
                raise
            print(f"ok {name[6:]}", flush=True)


main()
