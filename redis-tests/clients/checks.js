// What the Node.js client programs share: checks that are named, run in order and said to the driver (test_clients.py).
import assert from "node:assert/strict";
import readline from "node:readline";

export const KEYS = 300;
export const BINARY = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
export const BIG = Buffer.alloc(5_000_000, "0123456789abcdef");

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Has the driver end a node (the one that answers Redis clients on this port) and start it again.
export async function restart(port) {
    console.log(`restart ${port}`);
    assert.equal((await answers.next()).value, "done");
}

// Until `condition` is true; what it throws counts as false.
export async function until(condition, what, seconds = 60) {
    const deadline = Date.now() + seconds * 1000;
    let last;
    while (Date.now() < deadline) {
        try {
            if (await condition()) return;
        } catch (error) {
            last = error;
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not within ${seconds} s: ${what} (${last})`);
}

// checks: name -> function. Says `ok name` for each, ends with 1 at the first that fails.
export async function run(checks) {
    for (const [name, check] of Object.entries(checks)) {
        try {
            await check();
        } catch (error) {
            console.log(`failed ${name}`);
            console.error(error);
            process.exit(1);
        }
        console.log(`ok ${name}`);
    }
    process.exit(0);
}
