package main

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

var franzCompression = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func franzSettings(o options) []kgo.Opt {
	settings := []kgo.Opt{kgo.SeedBrokers(strings.Split(o.bootstrap, ",")...)}
	add := func(wanted bool, setting func() kgo.Opt) {
		if wanted {
			settings = append(settings, setting())
		}
	}
	add(o.compression != "", func() kgo.Opt { return kgo.ProducerBatchCompression(franzCompression[o.compression]) })
	add(o.idempotent == "no", func() kgo.Opt { return kgo.DisableIdempotentWrite() })
	add(o.acks != "", func() kgo.Opt {
		acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
		return kgo.RequiredAcks(acks[o.acks])
	})
	add(o.lingerMs >= 0, func() kgo.Opt { return kgo.ProducerLinger(milliseconds(o.lingerMs)) })
	add(o.batchBytes >= 0, func() kgo.Opt { return kgo.ProducerBatchMaxBytes(int32(o.batchBytes)) })
	add(o.deliveryTimeoutMs >= 0, func() kgo.Opt { return kgo.RecordDeliveryTimeout(milliseconds(o.deliveryTimeoutMs)) })
	add(o.ca != "", func() kgo.Opt { return kgo.DialTLSConfig(o.tls()) })
	add(o.user != "", func() kgo.Opt { return kgo.SASL(plain.Auth{User: o.user, Pass: o.password}.AsMechanism()) })
	return settings
}

// sendByFranz produces through franz-go.
func sendByFranz(o options, r *report) {
	client, err := kgo.NewClient(franzSettings(o)...)
	if err != nil {
		r.clientError(err)
		return
	}
	for n := range o.records {
		record := &kgo.Record{Topic: o.topic, Key: key(n), Value: value(n), Timestamp: timestamp(n)}
		for _, header := range headers(n) {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.name, Value: header.value})
		}
		r.handOver(n)
		client.Produce(context.Background(), record, func(written *kgo.Record, err error) {
			if err != nil {
				r.fail(n, err)
			} else {
				r.ack(n, written.Offset)
			}
		})
		r.handedOver(n)
		if o.mode == "one" {
			r.wait()
		}
	}
	r.wait()
}
