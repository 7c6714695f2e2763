// Wraps the partitioner, so that a mistake is more than a trap: an exception goes to the host's log with its stack, an
// invalid decision is reported, and `console` writes to the log. A new rule needs no change here.

import { log } from "pointsman:partitioner/log@1.1.0";

// Makes the functions that the host calls from the partitioner's two functions.
export function guarded({ configure, partition }) {
  return {
    configure(text) {
      for (const [level, text] of early.splice(0)) log(level, text);
      isBuilt = true;
      try {
        configure(text);
      } catch (thrown) {
        // The host tells the operator the message; the stack is for the partitioner's developer.
        log("debug", told(thrown));
        throw thrown instanceof Error ? thrown : new Error(String(thrown));
      }
    },

    partition(key, partitions) {
      try {
        return checked(partition(key, partitions));
      } catch (thrown) {
        log("error", told(thrown));
        // A trap: the record gets what the route's `on_error` says, the next one a fresh instance.
        throw thrown;
      }
    },
  };
}

const MAX_FRAMES = 8; // So many places of a stack are told,
const MAX_TEXT = 500; // and so much of a value.

// One line: what was thrown, and where, innermost first.
function told(thrown) {
  if (!(thrown instanceof Error)) return `threw ${show(thrown)}`;
  const places = String(thrown.stack).split("\n").map((place) => place.trim());
  const shown = places.filter((place) => place !== "" && !place.includes("/guard.js:"));
  if (shown.length > MAX_FRAMES) shown.splice(MAX_FRAMES - 1, shown.length - MAX_FRAMES, "…");
  return `${String(thrown).slice(0, MAX_TEXT)} ${shown.join(", ")}`.trim();
}

// Without this check an invalid number becomes 0, and other mistakes trap without a message.
function checked(decision) {
  if (isDecision(decision)) return decision;
  throw new TypeError(
    `partition returned ${show(decision)}; expected { tag: "partition", val: <integer> }, { tag: "key-hash", val: <Uint8Array> }, ` +
      '{ tag: "any" }, { tag: "tenant", val: { tenant: <string> } } or { tag: "reject", val: <string> }',
  );
}

function isDecision(decision) {
  const val = decision?.val;
  switch (decision?.tag) {
    case "partition":
      return Number.isInteger(val) && val >= 0 && val <= 0xffff_ffff;
    case "key-hash":
      return val instanceof Uint8Array;
    case "any":
      return true;
    case "tenant":
      return typeof val?.tenant === "string" && (val.shardKey == null || val.shardKey instanceof Uint8Array);
    case "reject":
      return typeof val === "string";
    default:
      return false;
  }
}

// A value in a message.
function show(value) {
  if (value instanceof Error || value === null || !["object", "string"].includes(typeof value)) {
    return String(value).slice(0, MAX_TEXT);
  }
  if (value instanceof Uint8Array) return `bytes ${ascii(value)}`;
  const inner = (_, part) => (["undefined", "bigint"].includes(typeof part) || Number.isNaN(part) ? String(part) : part);
  try {
    if (!(value instanceof Promise)) return JSON.stringify(value, inner).slice(0, MAX_TEXT);
  } catch {
    // The value contains itself, or has a `toJSON` that gives no text.
  }
  return Object.prototype.toString.call(value);
}

// Bytes as text where they are text, else as numbers.
function ascii(bytes) {
  const some = Array.from(bytes.subarray(0, MAX_TEXT / 4));
  if (some.every((byte) => byte >= 0x20 && byte < 0x7f)) return JSON.stringify(String.fromCharCode(...some));
  return `[${some}]`;
}

// The build of the component runs the modules once, when there is no log yet: text that is written then is kept for the
// log.
const early = [];
let isBuilt = false;

const line = (level) => (...values) => {
  const text = values.map((value) => (typeof value === "string" ? value : show(value))).join(" ");
  if (isBuilt) log(level, text);
  else if (early.length < 20) early.push([level, text.slice(0, MAX_TEXT)]);
};
globalThis.console = {
  debug: line("debug"),
  log: line("info"),
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
};

// There is no clock: reading one would trap without a message.
function noClock() {
  throw new Error("there is no clock in a partitioner; a record's own time is timestamp() of pointsman:partitioner/message");
}
globalThis.Date = new Proxy(Date, {
  apply: noClock,
  construct: (date, values) => (values.length === 0 ? noClock() : new date(...values)),
});
Date.now = noClock;
globalThis.performance = { now: noClock };
