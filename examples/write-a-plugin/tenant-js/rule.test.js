// Tests the rule without a host: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_ACCOUNT, decide } from "./rule.js";

const bytes = (text) => new TextEncoder().encode(text);

test("the tenant is what is in front of the first colon, the shard key all behind it", () => {
  const { tag, val } = decide(bytes("acme:o-17:1"));
  assert.deepEqual([tag, val.tenant], ["tenant", "acme"]);
  assert.deepEqual([...val.shardKey], [...bytes("o-17:1")]);
});

test("a record without an account is refused", () => {
  const refused = { tag: "reject", val: NO_ACCOUNT };
  for (const key of [null, bytes(""), bytes("acme"), bytes(":o-17"), bytes("ac\u0000me:1"), bytes(`${"x".repeat(256)}:1`)]) {
    assert.deepEqual(decide(key), refused);
  }
  assert.deepEqual(decide(Uint8Array.of(0xff, 0x3a)), refused);
  assert.equal(decide(bytes(`${"x".repeat(255)}:1`)).tag, "tenant");
});
