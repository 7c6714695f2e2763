package main

import (
	"strings"

	"github.com/IBM/sarama"
)

var saramaCompression = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func saramaSettings(o options) *sarama.Config {
	settings := sarama.NewConfig()
	settings.Producer.Return.Successes = true
	if o.compression != "" {
		settings.Producer.Compression = saramaCompression[o.compression]
	}
	if o.acks != "" {
		acks := map[string]sarama.RequiredAcks{
			"all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse,
		}
		settings.Producer.RequiredAcks = acks[o.acks]
	}
	if o.idempotent == "yes" {
		// What it asks for, else it refuses to begin.
		settings.Producer.Idempotent = true
		settings.Producer.RequiredAcks = sarama.WaitForAll
		settings.Net.MaxOpenRequests = 1
	}
	if o.lingerMs >= 0 {
		settings.Producer.Flush.Frequency = milliseconds(o.lingerMs)
	}
	if o.batchBytes >= 0 {
		settings.Producer.Flush.Bytes = o.batchBytes
	}
	if o.deliveryTimeoutMs >= 0 {
		settings.Producer.Timeout = milliseconds(o.deliveryTimeoutMs)
	}
	if o.ca != "" {
		settings.Net.TLS.Enable, settings.Net.TLS.Config = true, o.tls()
	}
	if o.user != "" {
		settings.Net.SASL.Enable = true
		settings.Net.SASL.User, settings.Net.SASL.Password = o.user, o.password
	}
	return settings
}

// encoded keeps apart what is absent and what is empty.
func encoded(bytes []byte) sarama.Encoder {
	if bytes == nil {
		return nil
	}
	return sarama.ByteEncoder(bytes)
}

// sendBySarama produces through sarama.
func sendBySarama(o options, r *report) {
	producer, err := sarama.NewAsyncProducer(strings.Split(o.bootstrap, ","), saramaSettings(o))
	if err != nil {
		r.clientError(err)
		return
	}
	go func() {
		for written := range producer.Successes() {
			r.ack(written.Metadata.(int), written.Offset)
		}
	}()
	go func() {
		for failed := range producer.Errors() {
			r.fail(failed.Msg.Metadata.(int), failed.Err)
		}
	}()
	for n := range o.records {
		message := &sarama.ProducerMessage{
			Topic: o.topic, Key: encoded(key(n)), Value: encoded(value(n)), Timestamp: timestamp(n), Metadata: n,
		}
		for _, header := range headers(n) {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.name), Value: header.value})
		}
		r.handOver(n)
		producer.Input() <- message
		r.handedOver(n)
		if o.mode == "one" {
			r.wait()
		}
	}
	r.wait()
}
