// Sends CloudEvents to the sidecar by CloudEvents' own library, and reads by it what stands in Kafka. ../python/cloud_events.py
// says how it is run.

import http from "node:http";
import { text } from "node:stream/consumers";

import { CloudEvent, HTTP, Kafka } from "cloudevents";

const TIME = "2026-01-31T23:59:59.500Z";

// Events with each kind of data, with and without a key. In headers the library encodes nothing, so there it is ASCII.
function events(mode) {
  const event = (number, more) =>
    new CloudEvent({ id: `node-${mode}-${number}`, source: "/shop", type: "order.placed", time: TIME, ...more });
  const subject = mode === "binary" ? "two words" : "Euro € 😀";
  return [
    event(0, { datacontenttype: "application/json", partitionkey: "order-7", data: { total: 12.5, of: ["ä", null] } }),
    event(1, { datacontenttype: "application/octet-stream", data: Uint8Array.from({ length: 256 }, (_, byte) => byte) }),
    event(2, { datacontenttype: "text/plain", subject, data: "much <wow/>" }),
  ];
}

// An event in the form in which the test compares it.
function plain(event) {
  const { data, data_base64: base64, time, ...attributes } = event;
  return { attributes: { ...attributes, time: Date.parse(time) }, data: plainData(data, base64, attributes.datacontenttype) };
}

function plainData(data, base64, type) {
  if (!(data instanceof Uint8Array) && base64 === undefined) return data;
  const bytes = base64 === undefined ? Buffer.from(data) : Buffer.from(base64, "base64");
  // The library leaves text as bytes.
  return type?.startsWith("text/") ? bytes.toString() : { base64: bytes.toString("base64") };
}

function post(socketPath, topic, { headers, body }, sent) {
  const path = `/v1/topics/${topic}/records`;
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, path, method: "POST", headers }, async (reply) => {
      const told = { events: sent.map(plain), status: reply.statusCode, reply: JSON.parse(await text(reply)) };
      console.log(JSON.stringify(told));
      resolve();
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function send(socketPath, topic) {
  for (const mode of ["binary", "structured"]) {
    for (const event of events(mode)) await post(socketPath, topic, HTTP[mode](event), [event]);
  }
  const batch = events("batch");
  const headers = { "content-type": "application/cloudevents-batch+json" };
  await post(socketPath, topic, { headers, body: JSON.stringify(batch) }, batch);
}

async function read() {
  const decoded = (part) => (part === null ? undefined : Buffer.from(part, "base64"));
  for (const { key, value, headers } of JSON.parse(await text(process.stdin))) {
    const texts = headers.map(([name, part]) => [name, decoded(part).toString()]);
    const message = { key: decoded(key)?.toString(), value: decoded(value), headers: Object.fromEntries(texts) };
    console.log(JSON.stringify(plain(Kafka.toEvent(message))));
  }
}

const [what, ...rest] = process.argv.slice(2);
await (what === "send" ? send(...rest) : read());
