// ioredis.js plain|cluster PORT: ioredis, as an application uses it.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { BIG, BINARY, KEYS, restart, run, until } from "./checks.js";

const [mode, port] = [process.argv[2], Number(process.argv[3])];
const cluster = mode === "cluster";

function open(options = {}) {
    const client = cluster
        ? new Redis.Cluster([{ host: "127.0.0.1", port }], { slotsRefreshTimeout: 5000, ...options })
        : new Redis(port, "127.0.0.1", { retryStrategy: () => 50, ...options });
    client.on("error", () => {}); // of a node that is being restarted
    return client;
}

const client = open();

async function scan(match) {
    const found = new Set();
    for (const node of cluster ? client.nodes("master") : [client]) {
        for await (const keys of node.scanStream({ match, count: 50 })) keys.forEach((key) => found.add(key));
    }
    return found;
}

await run({
    async connect() {
        assert.equal(await client.ping(), "PONG");
        const node = cluster ? client.nodes("master")[0] : client;
        assert.match(await node.client("INFO"), /resp=3/);
        await Promise.all((cluster ? client.nodes("master") : [client]).map((each) => each.flushall()));
    },
    async strings() {
        assert.equal(await client.set("s", "v"), "OK");
        assert.equal(await client.get("s"), "v");
        assert.equal(await client.get("missing"), null);
        assert.equal(await client.set("s", "w", "NX"), null);
        assert.equal(await client.set("s", "w", "EX", 100, "GET"), "v");
        assert.equal(await client.append("s", "xyz"), 4);
        assert.equal(await client.strlen("s"), 4);
        assert.equal(await client.getrange("s", 1, 2), "xy");
        assert.equal(await client.setrange("s", 0, "W"), 4);
        assert.equal(await client.getset("s", "n"), "Wxyz");
        assert.equal(await client.getex("s", "PERSIST"), "n");
        assert.equal(await client.getdel("s"), "n");
        assert.equal(await client.setnx("s", 1), 1);
        assert.equal(await client.setex("s2", 100, "x"), "OK");
        assert.deepEqual(await client.mset({ "{m}1": "a", "{m}2": "b" }), "OK");
        assert.deepEqual(await client.mget("{m}1", "{m}2", "{m}3"), ["a", "b", null]);
        assert.equal(await client.lcs("{m}1", "{m}2"), "");
        await assert.rejects(client.set("s", "v", "EX", 0), /ERR invalid expire time in 'set' command/);
    },
    async counters() {
        assert.equal(await client.incr("n"), 1);
        assert.equal(await client.incrby("n", 9), 10);
        assert.equal(await client.decr("n"), 9);
        assert.equal(await client.decrby("n", 4), 5);
        assert.equal(await client.incrbyfloat("n", 0.5), "5.5");
        await assert.rejects(client.incr("n"), /ERR value is not an integer or out of range/);
    },
    async bits() {
        assert.equal(await client.setbit("b", 7, 1), 0);
        assert.equal(await client.getbit("b", 7), 1);
        assert.equal(await client.bitcount("b"), 1);
        assert.equal(await client.bitpos("b", 1), 7);
        assert.deepEqual(await client.bitfield("b", "INCRBY", "u8", 0, 4, "GET", "u4", 4), [5, 5]);
        assert.equal(await client.bitop("NOT", "{b}2", "{b}1"), 0);
    },
    async keys() {
        assert.equal(await client.set("{k}1", "v", "EX", 100), "OK");
        assert.ok((await client.ttl("{k}1")) > 90);
        assert.equal(await client.persist("{k}1"), 1);
        assert.equal(await client.expireat("{k}1", 4000000000), 1);
        assert.equal(await client.expiretime("{k}1"), 4000000000);
        assert.equal(await client.copy("{k}1", "{k}2"), 1);
        assert.equal(await client.rename("{k}2", "{k}3"), "OK");
        assert.equal(await client.exists("{k}1", "{k}2", "{k}3"), 2);
        assert.equal(await client.type("{k}1"), "string");
        assert.equal(await client.object("ENCODING", "{k}1"), "embstr");
        const dump = await client.dumpBuffer("{k}1");
        assert.equal(await client.restore("{k}4", 0, dump), "OK");
        assert.equal(await client.get("{k}4"), "v");
        assert.equal(await client.unlink("{k}1", "{k}3", "{k}4"), 3);
    },
    async pipeline() {
        const pipeline = client.pipeline();
        for (let i = 0; i < KEYS; i++) pipeline.set(`{p}${i}`, i).get(`{p}${i}`);
        const replies = await pipeline.exec();
        assert.equal(replies.length, 2 * KEYS);
        assert.deepEqual(replies.at(-1), [null, String(KEYS - 1)]);
    },
    async transaction() {
        const replies = await client.multi().set("{t}a", 1).incr("{t}a").get("{t}b").exec();
        assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, null]]);
        const one = cluster ? client.nodes("master").find(Boolean) : client;
        assert.equal(await one.watch("{t}a").catch((error) => String(error).match(/MOVED/) && "OK"), "OK");
        await one.unwatch();
    },
    async pubsub() {
        const subscriber = open();
        const heard = [];
        subscriber.on("message", (channel, message) => heard.push([channel, message]));
        subscriber.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
        await subscriber.subscribe("news", "weather");
        await subscriber.psubscribe("n*");
        await until(async () => {
            await client.publish("news", "hello");
            return heard.length >= 2;
        }, "the message");
        assert.deepEqual(heard.slice(0, 2).map((words) => words.at(-1)), ["hello", "hello"]);
        await subscriber.unsubscribe("news", "weather");
        await subscriber.punsubscribe("n*");
        subscriber.disconnect();
    },
    async scan() {
        await Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`scan:${i}`, i)));
        const found = await scan("scan:*");
        assert.equal(found.size, KEYS);
    },
    async big_and_binary() {
        assert.equal(await client.set("big", BIG), "OK");
        assert.ok(BIG.equals(await client.getBuffer("big")));
        assert.equal(await client.set(BINARY, BINARY), "OK");
        assert.ok(BINARY.equals(await client.getBuffer(BINARY)));
    },
    async cluster_map() {
        const slots = await (cluster ? client.nodes("master")[0] : client).cluster("SLOTS");
        const covered = slots.reduce((sum, [first, last]) => sum + last - first + 1, 0);
        assert.equal(covered, 16384);
        if (cluster) {
            const masters = new Set(slots.map(([, , master]) => master[1]));
            assert.equal(client.nodes("master").length, masters.size);
            for (let i = 0; i < KEYS; i++) assert.equal(await client.get(`scan:${i}`), String(i));
        }
    },
    async reconnect() {
        await client.set("kept", "yes");
        await restart(port);
        await until(async () => (await client.get("kept")) === "yes", "the value after a restart");
        assert.equal(await client.set("kept", "still"), "OK");
    },
});
