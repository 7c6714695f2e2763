// Publishes by Dapr's SDK for JavaScript, which takes the sidecar's address from the environment: DAPR_HOST and DAPR_PORT.
// `node publish.mjs http TOPIC` or `node publish.mjs grpc TOPIC`; ../README.md has what is published, and the report.
import { readFileSync } from "node:fs";
import dapr from "@dapr/dapr";

const [protocol, topic] = process.argv.slice(2);
const PUBSUB = "kafka";
const RAW = { rawPayload: "true" };
const OWN = { specversion: "1.0", id: "own-4", source: "sdk", type: "order", data: { n: 4 } };

const client = new dapr.DaprClient({
  daprHost: process.env.DAPR_HOST,
  daprPort: process.env.DAPR_PORT,
  communicationProtocol: dapr.CommunicationProtocolEnum[protocol.toUpperCase()],
  // Its log would stand where the report is expected.
  logger: { service: { log() {}, debug() {}, verbose() {}, info() {}, warn() {}, error: console.error } },
});

async function publish(data, contentType, metadata) {
  const { error } = await client.pubsub.publish(PUBSUB, topic, data, { contentType, metadata });
  if (error) throw error;
}

await publish({ n: 1 }, "application/json");
await publish("ü 2", "text/plain");
await publish(Buffer.from([0, 255]), "application/octet-stream");
await publish(OWN, "application/cloudevents+json");
await publish("raw 5", "text/plain", { partitionKey: "k5", ...RAW });

async function bulk(entries, metadata) {
  const { failedMessages } = await client.pubsub.publishBulk(PUBSUB, topic, entries, { ...RAW, ...metadata });
  return failedMessages.map(({ message }) => message.entryID);
}

const text = (event, more) => ({ event, contentType: "text/plain", ...more });
let failed = await bulk([6, 7, 8].map((n) => text(`bulk ${n}`)), { partitionKey: "bulk" });
if (failed.length > 0) throw new Error(`failed: ${failed}`);
// Over gRPC, the SDK leaves out the metadata of an entry.
const bad = protocol === "http" ? [text("bad", { entryID: "bad", metadata: { partitionNumber: "x" } })] : [];
failed = await bulk([...bad, text("bulk 9", { entryID: "good" })], { partitionKey: "bulk" });

// Over HTTP the error is returned, over gRPC it is thrown.
const refused = await client.pubsub.publish(PUBSUB, "not a topic", "x").catch((thrown) => thrown);
const about = await client.metadata.get();
await client.stop();
const { version } = JSON.parse(readFileSync(new URL("node_modules/@dapr/dapr/package.json", import.meta.url)));
const components = (about.components ?? about.registeredComponents).map(({ type }) => type);
console.log(JSON.stringify({ version, failed, refused: refused.error?.message ?? null, components }));
