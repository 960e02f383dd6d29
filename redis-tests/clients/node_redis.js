// node_redis.js plain|cluster PORT: the package `redis`, as an application uses it.
import assert from "node:assert/strict";
import { RESP_TYPES, WatchError, createClient, createCluster } from "redis";
import { BIG, BINARY, KEYS, restart, run, until } from "./checks.js";

const [mode, port] = [process.argv[2], Number(process.argv[3])];
const cluster = mode === "cluster";
const socket = { reconnectStrategy: () => 50 };
const url = `redis://127.0.0.1:${port}`;

const client = cluster
    ? createCluster({ rootNodes: [{ url }], defaults: { socket }, RESP: 3 })
    : createClient({ url, socket, RESP: 3 });
client.on("error", () => {}); // of a node that is being restarted
client.on("node-error", () => {});

const nodes = () => (cluster ? Promise.all(client.masters.map((master) => client.nodeClient(master))) : [client]);
const typed = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });

await run({
    async connect() {
        await client.connect();
        for (const node of await nodes()) {
            assert.equal(await node.ping(), "PONG");
            assert.equal((await node.clientInfo()).resp, 3);
            await node.flushAll();
        }
    },
    async strings() {
        assert.equal(await client.set("s", "v"), "OK");
        assert.equal(await client.get("s"), "v");
        assert.equal(await client.get("missing"), null);
        assert.equal(await client.set("s", "w", { NX: true }), null);
        assert.equal(await client.set("s", "w", { EX: 100, GET: true }), "v");
        assert.equal(await client.append("s", "xyz"), 4);
        assert.equal(await client.strLen("s"), 4);
        assert.equal(await client.getRange("s", 1, 2), "xy");
        assert.equal(await client.setRange("s", 0, "W"), 4);
        assert.equal(await client.getSet("s", "n"), "Wxyz");
        assert.equal(await client.getEx("s", { type: "PERSIST" }), "n");
        assert.equal(await client.getDel("s"), "n");
        assert.equal(await client.setNX("s", "1"), 1);
        assert.equal(await client.setEx("s2", 100, "x"), "OK");
        assert.equal(await client.mSet({ "{m}1": "a", "{m}2": "b" }), "OK");
        assert.deepEqual(await client.mGet(["{m}1", "{m}2", "{m}3"]), ["a", "b", null]);
        assert.equal(await client.lcs("{m}1", "{m}2"), "");
        await assert.rejects(client.set("s", "v", { EX: 0 }), /ERR invalid expire time in 'set' command/);
    },
    async counters() {
        assert.equal(await client.incr("n"), 1);
        assert.equal(await client.incrBy("n", 9), 10);
        assert.equal(await client.decr("n"), 9);
        assert.equal(await client.decrBy("n", 4), 5);
        assert.equal(await client.incrByFloat("n", 0.5), "5.5");
        await assert.rejects(client.incr("n"), /ERR value is not an integer or out of range/);
    },
    async bits() {
        assert.equal(await client.setBit("b", 7, 1), 0);
        assert.equal(await client.getBit("b", 7), 1);
        assert.equal(await client.bitCount("b"), 1);
        assert.equal(await client.bitPos("b", 1), 7);
        const grown = { operation: "INCRBY", encoding: "u8", offset: 0, increment: 4 };
        assert.deepEqual(await client.bitField("b", [grown, { operation: "GET", encoding: "u4", offset: 4 }]), [5, 5]);
        assert.equal(await client.bitOp("NOT", "{b}2", "{b}1"), 0);
    },
    async keys() {
        assert.equal(await client.set("{k}1", "v", { EX: 100 }), "OK");
        assert.ok((await client.ttl("{k}1")) > 90);
        assert.equal(await client.persist("{k}1"), 1);
        assert.equal(await client.expireAt("{k}1", 4000000000), 1);
        assert.equal(await client.expireTime("{k}1"), 4000000000);
        assert.equal(await client.copy("{k}1", "{k}2"), 1);
        assert.equal(await client.rename("{k}2", "{k}3"), "OK");
        assert.equal(await client.exists(["{k}1", "{k}2", "{k}3"]), 2);
        assert.equal(await client.type("{k}1"), "string");
        assert.equal(await client.objectEncoding("{k}1"), "embstr");
        const dump = await typed.dump("{k}1");
        assert.equal(await client.restore("{k}4", 0, dump), "OK");
        assert.equal(await client.get("{k}4"), "v");
        assert.equal(await client.unlink(["{k}1", "{k}3", "{k}4"]), 3);
    },
    async pipeline() {
        const sent = [];
        for (let i = 0; i < KEYS; i++) sent.push(client.set(`p${i}`, String(i)), client.get(`p${i}`));
        const replies = await Promise.all(sent);
        assert.deepEqual(replies.slice(-2), ["OK", String(KEYS - 1)]);
    },
    async transaction() {
        const replies = await client.multi().set("{t}a", "1").incr("{t}a").get("{t}b").exec();
        assert.deepEqual(replies, ["OK", 2, null]);
        if (!cluster) {
            const isolated = await client.duplicate().connect();
            await isolated.watch("{t}a");
            await client.set("{t}a", "other");
            await assert.rejects(isolated.multi().set("{t}a", "mine").exec(), WatchError);
            isolated.destroy();
        }
    },
    async pubsub() {
        const subscriber = cluster ? client : await client.duplicate().connect();
        const heard = [];
        await subscriber.subscribe(["news", "weather"], (message) => heard.push(message));
        await subscriber.pSubscribe("n*", (message) => heard.push(message));
        await until(async () => {
            await client.publish("news", "hello");
            return heard.length >= 2;
        }, "the message");
        assert.equal(heard[0], "hello");
        await subscriber.unsubscribe();
        await subscriber.pUnsubscribe();
        if (!cluster) subscriber.destroy();
    },
    async scan() {
        await Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`scan:${i}`, String(i))));
        const found = new Set();
        for (const node of await nodes()) {
            for await (const keys of node.scanIterator({ MATCH: "scan:*", COUNT: 50 })) keys.forEach((key) => found.add(key));
        }
        assert.equal(found.size, KEYS);
    },
    async big_and_binary() {
        assert.equal(await client.set("big", BIG), "OK");
        assert.ok(BIG.equals(await typed.get("big")));
        assert.equal(await client.set(BINARY, BINARY), "OK");
        assert.ok(BINARY.equals(await typed.get(BINARY)));
    },
    async cluster_map() {
        const slots = await (await nodes())[0].clusterSlots();
        assert.equal(slots.reduce((sum, { from, to }) => sum + to - from + 1, 0), 16384);
        if (cluster) {
            assert.equal(client.masters.length, new Set(slots.map(({ master }) => master.port)).size);
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
