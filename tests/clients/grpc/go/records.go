package main

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	pb "pointsman.invalid/grpc-client/pointsman/v1"
)

const (
	firstTimestampMs = 1_700_000_000_000
	// As it stands in JSON: 40 characters, some of which a careless program would break.
	text = `forty letters with ä and a \"quoted\" part`
)

// record makes record n. A nil key or value is null; one without bytes is empty.
func (o *options) record(n int) *pb.Record {
	record := &pb.Record{
		Timestamp: proto.Int64(firstTimestampMs + int64(n)),
		Headers: []*pb.Header{
			{Name: "n", Value: []byte(strconv.Itoa(n))},
			{Name: "twice", Value: []byte("a")},
			{Name: "twice", Value: []byte("b")},
			{Name: "empty", Value: []byte{}},
			{Name: "null"},
		},
	}
	switch {
	case n%50 == 49:
	case n%51 == 50:
		record.Key = []byte{}
	default:
		record.Key = fmt.Appendf(nil, "k%d", n%97)
	}
	if n%60 != 59 || record.Key == nil {
		record.Value = fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, n, text)
	}
	if o.rejectEach > 0 && n%o.rejectEach == o.rejectEach-1 {
		// There is no such partition.
		record.Partition = proto.Uint32(1_000_000)
	}
	return record
}

// requests is how many requests there are.
func (o *options) requests() uint64 {
	return uint64((o.records + o.perCall - 1) / o.perCall)
}

// recordsOf makes the records of a request, whose first one has sequence 1.
func (o *options) recordsOf(sequence uint64) []*pb.Record {
	var records []*pb.Record
	first := int(sequence-1) * o.perCall
	for n := first; n < min(first+o.perCall, o.records); n++ {
		records = append(records, o.record(n))
	}
	return records
}

func (o *options) number(sequence uint64) *pb.Number {
	if o.client == "" {
		return nil
	}
	return &pb.Number{Client: o.client, Epoch: 1, Sequence: sequence}
}
