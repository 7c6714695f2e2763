// Produces over gRPC through google.golang.org/grpc: `grpc-client NAME=VALUE…`. ../README.md has the arguments, the records and the
// report.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "pointsman.invalid/grpc-client/pointsman/v1"
)

type client struct {
	*options
	*report
}

func main() {
	c := client{readOptions(os.Args[1:]), newReport()}
	c.fields["mode"] = c.mode
	modes := map[string]func() error{"produce": c.produce, "stream": c.stream, "cut": c.cut, "list": c.list}
	run, ok := modes[c.mode]
	if !ok {
		stop("no mode %s in this language", c.mode)
	}
	if err := run(); err != nil {
		s := status.Convert(err)
		c.fail(s.Code(), reason(s), s.Message())
	}
	c.print()
}

// connect makes a connection to the sidecar: host:port or unix:/path.
func (c client) connect() (*grpc.ClientConn, pb.IngestServiceClient, error) {
	settings := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if c.compression == gzip.Name {
		settings = append(settings, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	connection, err := grpc.NewClient(c.target, settings...)
	if err != nil {
		return nil, nil, err
	}
	return connection, pb.NewIngestServiceClient(connection), nil
}

// call is what every call has.
func (c client) call() (context.Context, context.CancelFunc) {
	ctx := context.Background()
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	if c.deadline > 0 {
		return context.WithTimeout(ctx, c.deadline)
	}
	return context.WithCancel(ctx)
}

// produce sends one request after another.
func (c client) produce() error {
	connection, stub, err := c.connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	for sequence := uint64(1); sequence <= c.requests(); sequence++ {
		request := &pb.ProduceRequest{Topic: c.topic, Records: c.recordsOf(sequence), Number: c.number(sequence)}
		ctx, cancel := c.call()
		answer, err := stub.Produce(ctx, request)
		cancel()
		c.sent.Add(int64(len(request.Records)))
		if err != nil {
			return err
		}
		c.outcomes(answer.Outcomes, 0)
	}
	return nil
}

// stream sends requests and reads outcomes at the same time, until the message that ends the stream.
func (c client) stream() error {
	connection, stub, err := c.connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := c.call()
	defer cancel()
	call, err := stub.Stream(ctx)
	if err != nil {
		return err
	}
	go c.send(call, 1)
	for {
		answer, err := call.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case answer.GetEnd() != nil:
			c.ended(answer.GetEnd())
		default:
			c.outcomes(answer.GetOutcomes().Outcomes, c.told)
		}
	}
}

// send sends the requests from this one on. Send waits while the other side does not read, and fails once the stream has ended.
func (c client) send(call grpc.BidiStreamingClient[pb.StreamRequest, pb.StreamResponse], first uint64) {
	begun := time.Now()
	stdin := make(chan struct{})
	if c.until == "stdin" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(stdin)
		}()
	}
	for sequence := first; sequence <= c.requests(); sequence++ {
		if c.rate > 0 {
			due := time.Duration(float64(sequence-1) * float64(c.perCall) / c.rate * float64(time.Second))
			time.Sleep(time.Until(begun.Add(due)))
		}
		select {
		case <-stdin:
			_ = call.CloseSend()
			return
		default:
		}
		request := &pb.StreamRequest{Topic: c.topic, Records: c.recordsOf(sequence), Number: c.number(sequence)}
		if call.Send(request) != nil {
			return
		}
		c.sent.Add(int64(len(request.Records)))
	}
	switch c.until {
	case "stdin":
		<-stdin
	case "end":
		<-call.Context().Done()
		return
	}
	_ = call.CloseSend()
}

// cut sends numbered requests in a stream. Its connection is lost twice, and each time requests that have answers are sent again.
func (c client) cut() error {
	answered := map[uint64][]*pb.Outcome{}
	for attempt := 1; ; attempt++ {
		first := uint64(max(1, len(answered)-4))
		ended, err := c.untilCut(answered, first, attempt <= 2)
		if ended || err != nil {
			c.fields["connections"], c.fields["answered"] = attempt, len(answered)
			return err
		}
	}
}

func (c client) untilCut(answered map[uint64][]*pb.Outcome, first uint64, isCut bool) (bool, error) {
	connection, stub, err := c.connect()
	if err != nil {
		return false, err
	}
	// When it is cut, requests are on their way, and nobody will hear of their outcomes by this connection.
	defer connection.Close()
	ctx, cancel := c.call()
	defer cancel()
	call, err := stub.Stream(ctx)
	if err != nil {
		return false, err
	}
	go c.send(call, first)
	for here := 1; ; here++ {
		answer, err := call.Recv()
		if err != nil {
			return false, err
		}
		if end := answer.GetEnd(); end != nil {
			c.ended(end)
			return true, nil
		}
		sequence, told := answer.GetOutcomes().GetSequence(), answer.GetOutcomes().Outcomes
		before, isRepeat := answered[sequence]
		c.repeated(isRepeat, !isRepeat || same(before, told))
		answered[sequence] = told
		if isCut && here == c.cutAfter {
			return false, nil
		}
	}
}

// same is whether these are the same outcomes, whichever stream told them.
func same(before, after []*pb.Outcome) bool {
	if len(before) != len(after) {
		return false
	}
	for at := range before {
		a, b := proto.CloneOf(before[at]), proto.CloneOf(after[at])
		a.Index, b.Index = 0, 0
		if !proto.Equal(a, b) {
			return false
		}
	}
	return true
}

// list asks for the names of the services, as tools do that know nothing of the .proto file.
func (c client) list() error {
	connection, _, err := c.connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := c.call()
	defer cancel()
	call, err := reflection.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	asked := &reflection.ServerReflectionRequest_ListServices{ListServices: "*"}
	if err := call.Send(&reflection.ServerReflectionRequest{MessageRequest: asked}); err != nil {
		return err
	}
	answer, err := call.Recv()
	if err != nil {
		return err
	}
	names := []string{}
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	c.fields["services"] = names
	return nil
}

// reason is the sidecar's own code of an error, which is the reason of its google.rpc.ErrorInfo.
func reason(s *status.Status) any {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "pointsman" {
			return info.Reason
		}
	}
	return nil
}
