// Produces through kafkajs. ../README.md says how it is run.

import kafkajs from "kafkajs";
import snappy from "kafkajs-snappy";
import lz4 from "lz4-napi";

import * as common from "./common.mjs";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
const COMPRESSION = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4" };

const options = common.readOptions(process.argv.slice(2));
const report = new common.Report(options, "kafkajs", "kafkajs", ["null header"]);
if (options.compression && !(options.compression in COMPRESSION)) common.stop(`kafkajs has no ${options.compression} here`);

const kafka = new Kafka({
  brokers: options.bootstrap.split(","),
  logLevel: logLevel.NOTHING,
  ssl: common.authority(options),
  sasl: options.user && { mechanism: "plain", username: options.user, password: options.password },
});
const producer = kafka.producer({
  createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  idempotent: options.idempotent,
  ...options.config,
});

function message(n) {
  const headers = { n: String(n), twice: ["a", "b"], empty: "" };
  return { key: common.key(n), value: common.value(n), timestamp: String(common.timestamp(n)), headers };
}

try {
  await producer.connect();
  await common.sendAll(options, report, async (numbers) => {
    const answers = await producer.send({
      topic: options.topic,
      messages: numbers.map(message),
      acks: common.acks(options),
      timeout: options.deliveryTimeoutMs,
      compression: options.compression && CompressionTypes[COMPRESSION[options.compression]],
    });
    return answers.map((answer) => answer.baseOffset);
  });
} catch (error) {
  report.clientError(error);
}
report.finish();
