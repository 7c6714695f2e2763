// What the programs for Node.js share: arguments, records, and the report that each prints at its end.
//
// ../README.md has the arguments, the records and the fields of the report. The programs in other languages do the same.

import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const FIRST_TIMESTAMP_MS = 1_700_000_000_000;
// As it stands in JSON: 40 characters, some of which a careless program would break.
const TEXT = 'forty letters with ä and a \\"quoted\\" part';
const FAILURES_SHOWN = 20;

/** The arguments NAME=VALUE, with their defaults. What is not given is undefined and stays as the client has it. */
export function readOptions(argv) {
  const given = new Map(argv.map((argument) => [argument.split("=", 1)[0], argument.slice(argument.indexOf("=") + 1)]));
  const take = (name, fallback) => {
    const value = given.get(name) ?? fallback;
    given.delete(name);
    return value;
  };
  const number = (name, fallback) => {
    const value = take(name, fallback);
    return value === undefined ? undefined : Number(value);
  };
  const options = {
    bootstrap: take("bootstrap"),
    topic: take("topic"),
    mode: take("mode", "send"),
    records: number("records", 20_000),
    compression: take("compression"),
    idempotent: { yes: true, no: false }[take("idempotent")],
    acks: take("acks"),
    user: take("user"),
    password: take("password"),
    ca: take("ca"),
    deliveryTimeoutMs: number("delivery_timeout_ms"),
    rate: number("rate"),
    deadlineMs: number("deadline_s", 60) * 1000,
    // Neither client gathers records by itself: each call is a request for each partition.
    perCall: number("per_call", 500),
    config: {},
  };
  for (const [name, text] of given) {
    if (!name.startsWith("config.")) stop(`unknown argument ${name}: tests/clients/README.md has those that are known`);
    options.config[name.slice(7)] = typed(text);
  }
  if (!["send", "one"].includes(options.mode)) stop(`no mode ${options.mode} in this language: use mode=send or mode=one`);
  return options;
}

/** Ends the program because it was called in the wrong way. */
export function stop(message) {
  console.error(message);
  process.exit(1);
}

function typed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The certificate authority to trust, if there is one. */
export function authority(options) {
  return options.ca === undefined ? undefined : { ca: [readFileSync(options.ca)] };
}

/** acks=all, 1 or 0 as a number of the protocol. */
export function acks(options) {
  return options.acks === undefined ? undefined : options.acks === "all" ? -1 : Number(options.acks);
}

/** The version of an installed package. */
export function versionOf(name) {
  const folder = `/node_modules/${name}/`;
  const main = createRequire(import.meta.url).resolve(name);
  return JSON.parse(readFileSync(main.slice(0, main.lastIndexOf(folder) + folder.length) + "package.json")).version;
}

/** The key of record n: null, empty or text. */
export function key(n) {
  if (n % 50 === 49) return null;
  return Buffer.from(n % 51 === 50 ? "" : `k${n % 97}`);
}

/** The value of record n, or null. Some clients refuse a record without key and value, so none has neither. */
export function value(n) {
  return n % 60 === 59 && key(n) !== null ? null : Buffer.from(`{"n":${n},"text":"${TEXT}"}`);
}

/** The timestamp of record n, in ms since 1970. */
export function timestamp(n) {
  return FIRST_TIMESTAMP_MS + n;
}

/**
 * Hands all records to `send(numbers)`, which gives the offsets that the client shows: with mode=one a record a call, else
 * some hundred, with the next call when the one before is done. That keeps their order, which calls side by side would not.
 */
export async function sendAll(options, report, send) {
  const perCall = options.mode === "one" ? 1 : options.perCall;
  for (let first = 0; first < options.records; first += perCall) {
    const count = Math.min(perCall, options.records - first);
    const numbers = Array.from({ length: count }, (_, index) => first + index);
    if (options.rate) await report.untilDue(first + count - 1);
    report.handOver(numbers);
    try {
      const offsets = await send(numbers);
      report.handedOver();
      report.ack(numbers, offsets);
    } catch (error) {
      report.fail(numbers, error);
    }
  }
}

/** What has become of the records. */
export class Report {
  #options;
  #fields;
  #begun = performance.now();
  #progress = performance.now();
  #handedOverAt = new Map();
  #latenciesMs = [];
  #counts = { sent: 0, acked: 0, failures: 0 };
  #failed = [];
  #offsets = { none: 0, negative: 0, other: 0 };
  #error = null;

  constructor(options, client, packageName, leavesOut) {
    this.#options = options;
    this.#fields = { client, version: versionOf(packageName), mode: options.mode, leaves_out: leavesOut };
    // The loop is free while a client waits, so this ends one that waits for ever.
    setInterval(() => {
      if (performance.now() - this.#progress > options.deadlineMs) this.finish();
    }, 200);
  }

  /** Waits until record n may be sent, by the rate that is asked for. */
  async untilDue(n) {
    const wait = this.#begun + (n * 1000) / this.#options.rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    this.#progress = performance.now();
  }

  /** Notes that these records are about to be given to the client. */
  handOver(numbers) {
    const now = performance.now();
    for (const n of numbers) this.#handedOverAt.set(n, now);
    this.#counts.sent += numbers.length;
  }

  /** Notes that the client has sent records, so that the deadline begins anew. */
  handedOver() {
    this.#progress = performance.now();
  }

  /**
   * Notes that these records were acknowledged, with the offsets that the client shows for them: one for each partition, so
   * that the least stands for all.
   */
  ack(numbers, offsets) {
    this.#answered(numbers);
    this.#counts.acked += numbers.length;
    const shown = offsets.map((offset) => (offset === undefined || offset === null ? undefined : BigInt(offset)));
    const isNone = shown.length === 0 || shown.includes(undefined);
    const kind = isNone ? "none" : shown.some((offset) => offset < 0n) ? "negative" : "other";
    this.#offsets[kind] += numbers.length;
  }

  /** Notes that these records were not acknowledged, and why. */
  fail(numbers, error) {
    this.#answered(numbers);
    this.#counts.failures += numbers.length;
    for (const n of numbers.slice(0, FAILURES_SHOWN - this.#failed.length)) this.#failed.push({ n, ...told(error) });
  }

  /** Notes an error that is not one record's. */
  clientError(error) {
    this.#error = told(error);
  }

  #answered(numbers) {
    const now = performance.now();
    for (const n of numbers) {
      this.#latenciesMs.push(now - this.#handedOverAt.get(n));
      this.#handedOverAt.delete(n);
    }
  }

  /** Prints the report and ends the process, whatever the client still does. */
  finish() {
    const percentiles = {};
    const [unit, factor] = this.#options.mode === "one" ? ["us", 1e3] : ["ms", 1];
    const sorted = this.#latenciesMs.sort((a, b) => a - b);
    for (const percent of sorted.length ? [50, 99] : []) {
      const at = sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))];
      percentiles[`p${percent}_${unit}`] = Math.round(at * factor * 1000) / 1000;
    }
    const report = {
      ...this.#fields,
      ...this.#counts,
      failed: this.#failed,
      unanswered: this.#handedOverAt.size,
      offsets: this.#offsets,
      took_ms: Math.round(performance.now() - this.#begun),
      ...percentiles,
      error: this.#error,
    };
    // A write of console.log could still be under way when the process ends.
    writeSync(1, JSON.stringify(report) + "\n");
    process.exit(0);
  }
}

/** The code and the text of an error: those of the broker's answer, where a client keeps it inside. */
function told(error) {
  let innermost = error;
  while (innermost.cause ?? innermost.errors?.[0]) innermost = innermost.cause ?? innermost.errors[0];
  const code = innermost.type ?? innermost.apiId ?? innermost.code ?? innermost.name;
  const messages = new Set([error.message, innermost.message]);
  return { code: String(code), message: [...messages].join(" ") };
}
