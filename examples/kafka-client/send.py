"""Sends one record with a key, and prints what came back."""

from confluent_kafka import Producer


def delivered(error, message):
    print(f"failed: {error}" if error else f"acknowledged: {message.topic()}-{message.partition()}@{message.offset()}")


producer = Producer({"bootstrap.servers": "127.0.0.1:9092"})
producer.produce("orders", key="customer-7", value='{"amount":25}', on_delivery=delivered)
producer.flush(10)
