// Package numbered sends records in numbered requests over a gRPC stream: they are written in the order sent, whatever happens on
// the way.
//
// A request is kept until it has its answer. When the stream is lost, or the sidecar ends it, another stream begins with the oldest
// request that has no answer; the sidecar writes nothing twice that it remembers.
package numbered

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "pointsman.invalid/numbered-client/pointsman/v1"
)

var (
	// ErrRefused means that the sidecar does not take the request as it is. Nothing of it was written; later requests are still
	// sent.
	ErrRefused = errors.New("refused")
	// ErrForgotten means that the request was taken, but its outcomes are no longer remembered: its records may or may not be
	// written.
	ErrForgotten = errors.New("forgotten")
	// ErrStopped means that the client sends no more: another client of its name has replaced it, the sidecar does not let it in,
	// or a request met too many losses.
	ErrStopped = errors.New("stopped")
)

// The pause after a failed try: the first one, and the longest.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Options say how a client sends. Zero values stand for the defaults.
type Options struct {
	// Name of the client. Two clients that send at the same time need two names.
	Name string
	// Epoch is the clock by default, so that a client that starts anew begins a later one.
	Epoch uint64
	// Window is how many requests without an answer are kept; with more, Send waits. 64 by default, and at most the sidecar's
	// limits.client_window.
	Window int
	// Attempts is how often a request with a failed or unknown record is sent before the client stops; 100 by default.
	Attempts int
}

// Client is one ordered stream of requests. Its methods may be called from any goroutine.
type Client struct {
	stub    pb.IngestServiceClient
	options Options
	cancel  context.CancelFunc
	ended   chan struct{}

	mutex   sync.Mutex
	changed *sync.Cond
	// The requests without an answer, the oldest first, without gaps in their sequences.
	unanswered []*Sent
	epoch      uint64
	next       uint64
	// The sidecar knows nothing of this client, which has to say where it goes on.
	resume  bool
	closed  bool
	stopped error
}

// Sent is a request on its way.
type Sent struct {
	topic    string
	records  []*pb.Record
	sequence uint64
	losses   int
	answered chan struct{}
	outcomes []*pb.Outcome
	err      error
}

// Wait waits for the answer: an outcome for each record, acked or rejected.
func (s *Sent) Wait() ([]*pb.Outcome, error) {
	<-s.answered
	return s.outcomes, s.err
}

// New makes a client, which sends over this connection.
func New(connection grpc.ClientConnInterface, options Options) *Client {
	if options.Epoch == 0 {
		options.Epoch = uint64(time.Now().UnixMicro())
	}
	if options.Window == 0 {
		options.Window = 64
	}
	if options.Attempts == 0 {
		options.Attempts = 100
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		stub: pb.NewIngestServiceClient(connection), options: options, cancel: cancel, ended: make(chan struct{}),
		epoch: options.Epoch, next: 1,
	}
	c.changed = sync.NewCond(&c.mutex)
	go c.run(ctx)
	return c
}

// Send takes records for a topic, and returns at once unless as many requests as the window has are without an answer.
func (c *Client) Send(topic string, records []*pb.Record) (*Sent, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for c.stopped == nil && !c.closed && len(c.unanswered) >= c.options.Window {
		c.changed.Wait()
	}
	if c.stopped != nil {
		return nil, c.stopped
	}
	if c.closed {
		return nil, fmt.Errorf("%w: the client was closed", ErrStopped)
	}
	sent := &Sent{topic: topic, records: records, sequence: c.next, answered: make(chan struct{})}
	c.next++
	c.unanswered = append(c.unanswered, sent)
	c.changed.Broadcast()
	return sent, nil
}

// Close waits until everything has its answer.
func (c *Client) Close() {
	c.mutex.Lock()
	c.closed = true
	c.changed.Broadcast()
	c.mutex.Unlock()
	<-c.ended
}

// Abort sends no more; what has no answer gets ErrStopped.
func (c *Client) Abort() {
	c.cancel()
	<-c.ended
}

// run opens one stream after another, for as long as there is something to send.
func (c *Client) run(ctx context.Context) {
	defer close(c.ended)
	pause := firstPause
	for c.awaitWork(ctx) {
		if c.stream(ctx) {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
}

// awaitWork waits for a request to send. False: there will be no more.
func (c *Client) awaitWork(ctx context.Context) bool {
	defer c.wakeAtEnd(ctx)()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for len(c.unanswered) == 0 && !c.closed && ctx.Err() == nil {
		c.changed.Wait()
	}
	if ctx.Err() != nil {
		c.stop("the client was aborted")
	}
	return c.stopped == nil && len(c.unanswered) > 0
}

// wakeAtEnd sees to it that who waits for a change notices the end of the context. It returns what ends this.
func (c *Client) wakeAtEnd(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.changed.Broadcast()
	})
}

// stream sends what has no answer, and what comes, until the stream ends. It returns whether there was an answer.
func (c *Client) stream(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := c.stub.Stream(ctx)
	if err != nil {
		c.failed(err)
		return false
	}
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		c.sendAll(ctx, call)
	}()
	answers, end, err := c.receive(call)
	cancel()
	<-sender
	switch {
	case end != nil:
		c.handle(end)
	case err != nil:
		c.failed(err)
	}
	return answers > 0
}

// sendAll sends one request after another. Send waits while the sidecar does not read; when it fails, the reader hears why.
func (c *Client) sendAll(ctx context.Context, call grpc.BidiStreamingClient[pb.StreamRequest, pb.StreamResponse]) {
	defer c.wakeAtEnd(ctx)()
	c.mutex.Lock()
	sequence := c.unanswered[0].sequence
	c.mutex.Unlock()
	for ; ; sequence++ {
		request := c.await(ctx, sequence)
		if request == nil {
			_ = call.CloseSend()
			return
		}
		if call.Send(request) != nil {
			return
		}
	}
}

// await waits for the request with this sequence. Nil: there will be none.
func (c *Client) await(ctx context.Context, sequence uint64) *pb.StreamRequest {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for c.next <= sequence && !c.closed && ctx.Err() == nil {
		c.changed.Wait()
	}
	if c.next <= sequence || c.stopped != nil || ctx.Err() != nil {
		return nil
	}
	oldest := c.unanswered[0]
	sent := c.unanswered[sequence-oldest.sequence]
	return &pb.StreamRequest{
		Topic:   sent.topic,
		Records: sent.records,
		Number: &pb.Number{
			Client: c.options.Name, Epoch: c.epoch, Sequence: sequence, Resume: c.resume && sent == oldest,
		},
	}
}

// receive reads answers until the stream ends, and counts them. Without an end and without an error, a record was lost.
func (c *Client) receive(call grpc.BidiStreamingClient[pb.StreamRequest, pb.StreamResponse]) (int, *pb.End, error) {
	for answers := 0; ; answers++ {
		answer, err := call.Recv()
		if err != nil {
			return answers, nil, err
		}
		if end := answer.GetEnd(); end != nil {
			return answers, end, nil
		}
		if !c.outcomes(answer.GetOutcomes()) {
			return answers, nil, nil
		}
	}
}

// outcomes hands the outcomes of the oldest request to the caller. False if a record was lost: then the request has to be sent
// again, before anything that comes after it.
func (c *Client) outcomes(told *pb.Outcomes) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.unanswered) == 0 || told.GetSequence() != c.unanswered[0].sequence {
		c.stop(fmt.Sprintf("the sidecar answered sequence %d out of turn", told.GetSequence()))
		return false
	}
	c.resume = false
	for _, outcome := range told.Outcomes {
		if outcome.Kind != pb.Outcome_KIND_ACKED && outcome.Kind != pb.Outcome_KIND_REJECTED {
			sent := c.unanswered[0]
			sent.losses++
			if sent.losses >= c.options.Attempts {
				c.stop(fmt.Sprintf("sequence %d was lost %d times: %s", sent.sequence, sent.losses, outcome.Error.GetMessage()))
			}
			return false
		}
	}
	c.answer(told.Outcomes, nil)
	return true
}

// handle does what the end of a stream asks for. All that was taken has its answer, so an error is about the oldest request.
func (c *Client) handle(end *pb.End) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if end.Reason != pb.End_REASON_ERROR || len(c.unanswered) == 0 {
		// The next stream goes on.
		return
	}
	code, expected := end.Error.GetCode(), end.GetExpectedSequence()
	why := fmt.Sprintf("%s: %s", code, end.Error.GetMessage())
	switch code {
	case "resync":
		c.resume = true
	case "sequence_conflict":
		if expected <= c.unanswered[0].sequence {
			// Those between were answered by another process, so they will not come.
			c.beginEpoch()
		}
		for len(c.unanswered) > 0 && c.unanswered[0].sequence < expected {
			c.answer(nil, fmt.Errorf("%w: %s", ErrForgotten, why))
		}
	case "stale_epoch", "sequence_mismatch":
		c.stop(why)
	case "sequence_blocked", "busy", "kafka_unavailable", "routing_unavailable", "tenant_moving", "too_many_topics",
		"request_timeout", "body_timeout", "stream_idle", "incomplete_body", "internal_error":
		// Nothing of the request was taken, or nobody knows whether it was; the next stream finds out.
	default:
		// Its number was not used. In a new epoch, nothing that is still on its way can be mistaken for one of those that follow.
		c.answer(nil, fmt.Errorf("%w: %s", ErrRefused, why))
		c.beginEpoch()
	}
}

// failed notes that a stream has no end: its connection was lost, or it was not opened.
func (c *Client) failed(err error) {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument, codes.NotFound:
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.stop(err.Error())
	}
}

// The functions below are called with the mutex held.

// answer answers the oldest request.
func (c *Client) answer(outcomes []*pb.Outcome, err error) {
	oldest := c.unanswered[0]
	c.unanswered = c.unanswered[1:]
	oldest.outcomes, oldest.err = outcomes, err
	close(oldest.answered)
	c.changed.Broadcast()
}

// beginEpoch gives new numbers, from 1, to all requests that are left.
func (c *Client) beginEpoch() {
	c.epoch++
	c.resume = false
	c.next = 1
	for _, sent := range c.unanswered {
		sent.sequence = c.next
		c.next++
	}
}

func (c *Client) stop(why string) {
	if c.stopped == nil {
		c.stopped = fmt.Errorf("%w: %s", ErrStopped, why)
	}
	for len(c.unanswered) > 0 {
		c.answer(nil, c.stopped)
	}
}
