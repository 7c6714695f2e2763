// Tests the rule without a host: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_CUSTOMER, fnv1a32, place, readConfig } from "./rule.js";

const bytes = (text) => new TextEncoder().encode(text);

function placed({ config = "{}", partitions, key = null, headers = {} }) {
  const header = (name) => (name in headers ? bytes(headers[name]) : null);
  return place(readConfig(config), key === null ? null : bytes(key), partitions, header);
}

test("the hash is the published one", () => {
  assert.equal(fnv1a32(bytes("")), 0x811c9dc5);
  assert.equal(fnv1a32(bytes("a")), 0xe40c292c);
  assert.equal(fnv1a32(bytes("foobar")), 0xbf9cf968);
});

test("a VIP customer stays on one dedicated partition", () => {
  const headers = { tier: "vip", region: "eu" };
  assert.deepEqual(placed({ partitions: 12, key: "c-17", headers }), { partition: 2 });
  assert.deepEqual(placed({ partitions: 12, headers }), { reject: NO_CUSTOMER });
  assert.deepEqual(placed({ partitions: 3, key: "c-17", headers }), { partition: 0 });
});

test("all others share the rest by region", () => {
  assert.deepEqual(placed({ partitions: 12, key: "c-17", headers: { region: "eu" } }), { partition: 11 });
  assert.deepEqual(placed({ partitions: 12, headers: { tier: "VIP" } }), { partition: 7 });
  assert.deepEqual(placed({ partitions: 1 }), { partition: 0 });
});

test("the config decides how many are dedicated, but one stays shared", () => {
  const headers = { tier: "vip" };
  assert.deepEqual(placed({ config: '{"dedicated":2}', partitions: 12, key: "c-17", headers }), { partition: 1 });
  assert.deepEqual(placed({ config: '{"dedicated":99}', partitions: 4, key: "c-17" }), { partition: 3 });
  assert.deepEqual(placed({ config: '{"dedicated":99}', partitions: 1, key: "c-17" }), { partition: 0 });
});

test("a config with a mistake is refused by the name of the key", () => {
  assert.throws(() => readConfig('{"dedicate":2}'), /unknown key `dedicate`/);
  for (const wrong of ["0", "-1", "1.5", "4294967296", '"1"', "null", "true"]) {
    assert.throws(() => readConfig(`{"dedicated":${wrong}}`), /`dedicated` must be an integer/, wrong);
  }
});
