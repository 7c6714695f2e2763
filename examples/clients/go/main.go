// Sends each line of standard input as the value of a record, in numbered requests over a gRPC stream:
//
//	seq 1000 | target/clients/numbered-client --target unix:target/run/ingest.sock --topic numbers --client demo-go
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"pointsman.invalid/numbered-client/numbered"
	pb "pointsman.invalid/numbered-client/pointsman/v1"
)

var (
	target = flag.String("target", "", "where the sidecar listens: host:port, or unix:PATH")
	topic  = flag.String("topic", "", "the topic")
	name   = flag.String("client", "", "the client's name")
	batch  = flag.Int("batch", 100, "records in a request")
)

func main() {
	flag.Parse()
	if *target == "" || *topic == "" || *name == "" {
		fmt.Fprintln(os.Stderr, "--target, --topic and --client are needed")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	// By itself the library waits up to two minutes before it connects again.
	soon := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
	connection, err := grpc.NewClient(
		*target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: 5 * time.Second}),
		// A connection whose other end is gone without a word is found out.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	client := numbered.New(connection, numbered.Options{Name: *name})
	// The answers are read while lines are sent.
	sent := make(chan *numbered.Sent, 1_000)
	counted := make(chan error, 1)
	go func() { counted <- count(sent) }()
	sendErr := sendLines(client, sent)
	close(sent)
	client.Close()
	if err := <-counted; err != nil {
		return err
	}
	return sendErr
}

func sendLines(client *numbered.Client, sent chan<- *numbered.Sent) error {
	var records []*pb.Record
	send := func() error {
		request, err := client.Send(*topic, records)
		records = nil
		if err == nil {
			sent <- request
		}
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		records = append(records, &pb.Record{Value: append([]byte{}, lines.Bytes()...)})
		if len(records) == *batch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(records) > 0 {
		if err := send(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// count says what became of the records. The error is the first one of a request.
func count(requests <-chan *numbered.Sent) error {
	acked := 0
	var first error
	for request := range requests {
		outcomes, err := request.Wait()
		if err != nil && first == nil {
			first = err
		}
		for _, outcome := range outcomes {
			if outcome.Kind == pb.Outcome_KIND_ACKED {
				acked++
			} else {
				fmt.Fprintf(os.Stderr, "rejected: %s\n", outcome.Error.GetMessage())
			}
		}
	}
	fmt.Printf("%d records acked\n", acked)
	return first
}
