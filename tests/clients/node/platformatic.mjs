// Produces through @platformatic/kafka. ../README.md says how it is run.

import zlib from "node:zlib";

import { Producer } from "@platformatic/kafka";

import * as common from "./common.mjs";

const options = common.readOptions(process.argv.slice(2));
const report = new common.Report(options, "platformatic", "@platformatic/kafka", []);
if (options.compression === "zstd" && !zlib.zstdCompress) common.stop("this Node.js has no zstd");

// It looks at what is there, so what is not given must not be there as undefined.
const given = (settings) => Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));

const producer = new Producer({
  clientId: "pointsman-tests",
  bootstrapBrokers: options.bootstrap.split(","),
  ...given({
    tls: common.authority(options),
    sasl: options.user && { mechanism: "PLAIN", username: options.user, password: options.password },
    idempotent: options.idempotent,
    timeout: options.deliveryTimeoutMs,
  }),
  ...options.config,
});

function message(n) {
  // The names are buffers, so that the map can have two that read the same.
  const headers = [["n", String(n)], ["twice", "a"], ["twice", "b"], ["empty", ""], ["null", null]];
  return {
    topic: options.topic,
    key: common.key(n),
    value: common.value(n),
    timestamp: BigInt(common.timestamp(n)),
    headers: new Map(headers.map(([name, text]) => [Buffer.from(name), text === null ? null : Buffer.from(text)])),
  };
}

try {
  await common.sendAll(options, report, async (numbers) => {
    const settings = given({ acks: common.acks(options), compression: options.compression });
    const answer = await producer.send({ messages: numbers.map(message), ...settings });
    return answer.offsets?.map(({ offset }) => offset) ?? [];
  });
} catch (error) {
  report.clientError(error);
}
report.finish();
