// The arguments of the program, and what it reports.

import { writeSync } from "node:fs";
import { createRequire } from "node:module";

import protobuf from "protobufjs";

import { stop } from "../../node/common.mjs";

// What google/rpc/status.proto and google/rpc/error_details.proto have of it.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
`);
const Status = root.lookupType("Status");
const ErrorInfo = root.lookupType("ErrorInfo");

/** The arguments NAME=VALUE, with their defaults. */
export function readOptions(argv) {
  const given = new Map(argv.map((argument) => [argument.split("=", 1)[0], argument.slice(argument.indexOf("=") + 1)]));
  const take = (name, fallback) => {
    const value = given.get(name) ?? fallback;
    given.delete(name);
    return value;
  };
  const options = {
    target: take("target"),
    topic: take("topic", ""),
    mode: take("mode", "produce"),
    records: Number(take("records", 20_000)),
    perCall: Number(take("per_call", 500)),
    client: take("client"),
    rejectEach: Number(take("reject_each", 0)),
    until: take("until"),
    rate: Number(take("rate", 0)),
    cutAfter: Number(take("cut_after", 10)),
    deadlineMs: Number(take("deadline_ms", 0)),
    token: take("token"),
    compression: take("compression"),
  };
  for (const name of given.keys()) stop(`unknown argument ${name}: tests/clients/grpc/README.md has those that are known`);
  if (!["produce", "stream", "cut"].includes(options.mode)) stop(`no mode ${options.mode} in this language`);
  return options;
}

/** The numbers of the records, a request's at a time. */
export function* requests(options) {
  for (let first = 0, sequence = 1; first < options.records; first += options.perCall, sequence += 1) {
    const count = Math.min(options.perCall, options.records - first);
    yield { sequence, numbers: Array.from({ length: count }, (_, index) => first + index) };
  }
}

/** A partition that is not there, for the records that are to be rejected. */
export function partition(options, n) {
  return options.rejectEach && n % options.rejectEach === options.rejectEach - 1 ? 1_000_000 : undefined;
}

/** The sidecar's own code of an error, which is the reason of its google.rpc.ErrorInfo. */
export function reason(error) {
  const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
  for (const any of details ? Status.decode(details).details : []) {
    if (!any.typeUrl.endsWith("/google.rpc.ErrorInfo")) continue;
    const info = ErrorInfo.decode(any.value);
    if (info.domain === "pointsman") return info.reason;
  }
  return null;
}

/** What became of the records. */
export class Report {
  fields;
  sent = 0;
  told = 0;
  last = null;
  #kinds = {};
  #codes = {};
  #inOrder = true;
  #repeats = 0;
  #areSame = true;
  #begun = performance.now();

  constructor(client, mode) {
    const { version } = createRequire(import.meta.url)("@grpc/grpc-js/package.json");
    this.fields = { client, version, mode, status: "OK", reason: null, message: "" };
  }

  /** Notes the outcomes of an answer, whose indexes have to go on from `first`. */
  outcomes(answer, first) {
    (answer.outcomes ?? []).forEach((outcome, at) => {
      // A field that is not set has its default: index 0.
      this.#inOrder &&= Number(outcome.index ?? 0) === first + at;
      this.#kinds[outcome.kind] = (this.#kinds[outcome.kind] ?? 0) + 1;
      if (outcome.error) this.#codes[outcome.error.code] = (this.#codes[outcome.error.code] ?? 0) + 1;
      this.told += 1;
    });
  }

  /** Notes the answer to a request with a number, which may have had one before. */
  repeated(isRepeat, isSame) {
    this.#repeats += isRepeat;
    this.#areSame &&= isSame;
  }

  /** Notes the end of a stream. */
  end(end) {
    this.last = { reason: end.reason, count: Number(end.count ?? 0), code: end.error?.code ?? null };
  }

  /** Notes a status other than OK. */
  status(status, message, reason) {
    Object.assign(this.fields, { status, message, reason });
  }

  /** Prints the report and ends the process. */
  finish() {
    const ofRecords = {
      sent: this.sent,
      outcomes: this.#kinds,
      codes: this.#codes,
      in_order: this.#inOrder,
      end: this.last,
      repeats: this.#repeats,
      are_same: this.#areSame,
      took_ms: Math.round(performance.now() - this.#begun),
    };
    writeSync(1, `${JSON.stringify({ ...this.fields, ...ofRecords })}\n`);
    process.exit(0);
  }
}
