// Produces through a Kafka client in Go: `kafka-clients franz-go|sarama NAME=VALUE…`. ../README.md has the arguments, the
// records and the fields of the report. The programs in other languages do the same.
package main

import (
	"errors"
	"os"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
)

func main() {
	if len(os.Args) < 2 {
		stop("usage: kafka-clients franz-go|sarama NAME=VALUE…")
	}
	client := os.Args[1]
	o := readOptions(client, os.Args[2:])
	switch client {
	case "franz-go":
		r := newReport(o, "github.com/twmb/franz-go")
		sendByFranz(o, r)
		r.finish()
	case "sarama":
		r := newReport(o, "github.com/IBM/sarama")
		sendBySarama(o, r)
		r.finish()
	default:
		stop("unknown client %s: franz-go and sarama are here", client)
	}
}

// clientsName is what a client calls an error of the protocol, or empty.
func clientsName(err error) string {
	var franz *kerr.Error
	if errors.As(err, &franz) {
		return franz.Message
	}
	var byNumber sarama.KError
	if errors.As(err, &byNumber) {
		if known := kerr.TypedErrorForCode(int16(byNumber)); known != nil {
			return known.Message
		}
	}
	return ""
}
