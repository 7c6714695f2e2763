// Sends one record with a key, and prints what came back.
const { Kafka, Partitioners } = require("kafkajs");

async function main() {
  const producer = new Kafka({ brokers: ["127.0.0.1:9092"] }).producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const [sent] = await producer.send({ topic: "orders", messages: [{ key: "customer-7", value: '{"amount":25}' }] });
  console.log(`acknowledged: ${sent.topicName}-${sent.partition}@${sent.baseOffset}`);
  await producer.disconnect();
}

main();
