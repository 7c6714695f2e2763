// Produces over gRPC through @grpc/grpc-js. ../README.md has the arguments, the records and the report.

import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as pause } from "node:timers/promises";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

import { Report, partition, readOptions, reason, requests } from "./report.mjs";
// The records are those of Kafka's clients.
import { key, timestamp, value } from "../../node/common.mjs";

const PROTO = fileURLToPath(new URL("../../../../proto/pointsman/v1/ingest.proto", import.meta.url));
// Numbers of 64 bits as text: a number of JavaScript would round large ones. `oneofs` names which field of a oneof is there.
const definition = loader.loadSync(PROTO, { keepCase: true, longs: String, enums: String, oneofs: true });
const { IngestService } = grpc.loadPackageDefinition(definition).pointsman.v1;

const options = readOptions(process.argv.slice(2));
const report = new Report("grpc-js", options.mode);

function connect() {
  const compression = options.compression === "gzip" ? grpc.compressionAlgorithms.gzip : grpc.compressionAlgorithms.identity;
  return new IngestService(options.target, grpc.credentials.createInsecure(), {
    "grpc.default_compression_algorithm": compression,
  });
}

/** The metadata and the settings of every call. */
function given() {
  const metadata = new grpc.Metadata();
  if (options.token) metadata.set("authorization", `Bearer ${options.token}`);
  return [metadata, options.deadlineMs ? { deadline: Date.now() + options.deadlineMs } : {}];
}

/** Record n. A null key or value is a field that is not there. */
function record(n) {
  return {
    key: key(n),
    value: value(n),
    headers: [
      { name: "n", value: Buffer.from(String(n)) },
      { name: "twice", value: Buffer.from("a") },
      { name: "twice", value: Buffer.from("b") },
      { name: "empty", value: Buffer.alloc(0) },
      { name: "null" },
    ],
    timestamp: timestamp(n),
    partition: partition(options, n),
  };
}

function request({ sequence, numbers }) {
  const number = options.client ? { client: options.client, epoch: 1, sequence } : undefined;
  return { topic: options.topic, records: numbers.map(record), number };
}

/** One request after another. */
async function produce(stub) {
  for (const one of requests(options)) {
    report.sent += one.numbers.length;
    const answer = await new Promise((resolve, reject) =>
      stub.Produce(request(one), ...given(), (error, answer) => (error ? reject(error) : resolve(answer))),
    );
    report.outcomes(answer, 0);
  }
}

/** Requests and outcomes at the same time, until the message that ends the stream. */
async function stream(stub) {
  const call = stub.Stream(...given());
  let ended = false;
  let stopped = false;
  const stop = options.until === "stdin" && once(process.stdin.resume(), "end").then(() => (stopped = true));
  const sending = (async () => {
    const begun = performance.now();
    for (const one of requests(options)) {
      if (options.rate) await pause(Math.max(0, begun + (one.numbers[0] * 1000) / options.rate - performance.now()));
      if (ended || stopped) break;
      report.sent += one.numbers.length;
      // What is written while the other side does not read stays in memory, so this waits.
      if (!call.write(request(one))) await Promise.race([once(call, "drain"), once(call, "close")]);
    }
    if (options.until === "stdin") await stop;
    if (options.until !== "end") call.end();
  })();
  for await (const answer of call) {
    if (answer.kind === "end") {
      report.end(answer.end);
      ended = true;
      call.end();
    } else {
      report.outcomes(answer.outcomes, report.told);
    }
  }
  await sending;
}

/** Numbered requests in a stream. Its connection is lost twice, and each time requests that have answers are sent again. */
async function cut(stub) {
  const answered = new Map();
  for (let attempt = 1; !report.last; attempt += 1) {
    const call = stub.Stream(...given());
    let isOpen = true;
    // Its error is that it was cancelled, or the loop below meets it.
    call.on("error", () => (isOpen = false));
    const first = Math.max(1, answered.size - 4);
    const sending = (async () => {
      for (const one of requests(options)) {
        if (one.sequence < first || !isOpen) continue;
        if (!call.write(request(one))) await Promise.race([once(call, "drain"), once(call, "close")]);
      }
      if (isOpen) call.end();
    })();
    let here = 0;
    for await (const answer of call) {
      if (answer.kind === "end") {
        report.end(answer.end);
        Object.assign(report.fields, { connections: attempt, answered: answered.size });
        continue;
      }
      const told = JSON.stringify(answer.outcomes.outcomes.map(({ kind, partition, offset }) => [kind, partition, offset]));
      const before = answered.get(answer.outcomes.sequence);
      report.repeated(before !== undefined, before === undefined || before === told);
      answered.set(answer.outcomes.sequence, told);
      here += 1;
      if (attempt <= 2 && here === options.cutAfter) {
        // Requests are on their way, and nobody will hear of their outcomes by this connection.
        isOpen = false;
        call.cancel();
        stub.close();
        stub = connect();
        break;
      }
    }
    await sending.catch(() => {});
  }
}

try {
  await { produce, stream, cut }[options.mode](connect());
} catch (error) {
  report.status(grpc.status[error.code] ?? String(error), error.details, reason(error));
}
report.finish();
