package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "pointsman.invalid/grpc-client/pointsman/v1"
)

// options are the arguments NAME=VALUE, with their defaults.
type options struct {
	target, topic, mode, client, until, token, compression string
	records, perCall, rejectEach, cutAfter                 int
	rate                                                   float64
	deadline                                               time.Duration
}

func stop(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func readOptions(arguments []string) *options {
	given := map[string]string{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		given[name] = value
	}
	take := func(name, fallback string) string {
		value, ok := given[name]
		if !ok {
			return fallback
		}
		delete(given, name)
		return value
	}
	number := func(name string, fallback int) int {
		value, err := strconv.Atoi(take(name, strconv.Itoa(fallback)))
		if err != nil {
			stop("%s: %v", name, err)
		}
		return value
	}
	o := &options{
		target: take("target", ""), topic: take("topic", ""), mode: take("mode", "produce"), client: take("client", ""),
		until: take("until", ""), token: take("token", ""), compression: take("compression", ""),
		records: number("records", 20_000), perCall: number("per_call", 500), rejectEach: number("reject_each", 0),
		cutAfter: number("cut_after", 10), rate: float64(number("rate", 0)),
		deadline: time.Duration(number("deadline_ms", 0)) * time.Millisecond,
	}
	for name := range given {
		stop("unknown argument %s: tests/clients/grpc/README.md has those that are known", name)
	}
	return o
}

// report is what became of the records.
type report struct {
	fields       map[string]any
	sent         atomic.Int64
	told         int
	kinds, codes map[string]int
	inOrder      bool
	repeats      int
	areSame      bool
	last         any
	begun        time.Time
}

func newReport() *report {
	fields := map[string]any{"client": "grpc-go", "version": grpc.Version, "status": "OK", "reason": nil, "message": ""}
	return &report{
		fields: fields, kinds: map[string]int{}, codes: map[string]int{}, inOrder: true, areSame: true, begun: time.Now(),
	}
}

// outcomes notes the outcomes of an answer, whose indexes have to go on from `first`.
func (r *report) outcomes(outcomes []*pb.Outcome, first int) {
	for at, outcome := range outcomes {
		r.inOrder = r.inOrder && outcome.Index == uint64(first+at)
		r.kinds[outcome.Kind.String()]++
		if outcome.Error != nil {
			r.codes[outcome.Error.Code]++
		}
	}
	r.told += len(outcomes)
}

// repeated notes the answer to a request with a number, which may have had one before.
func (r *report) repeated(isRepeat, isSame bool) {
	if isRepeat {
		r.repeats++
	}
	r.areSame = r.areSame && isSame
}

// ended notes the end of a stream.
func (r *report) ended(end *pb.End) {
	last := map[string]any{"reason": end.Reason.String(), "count": end.Count, "code": nil}
	if end.Error != nil {
		last["code"] = end.Error.Code
	}
	r.last = last
}

// fail notes a status other than OK, by the name that the protocol has for it.
func (r *report) fail(code codes.Code, reason any, message string) {
	names := map[codes.Code]string{
		codes.InvalidArgument: "INVALID_ARGUMENT", codes.DeadlineExceeded: "DEADLINE_EXCEEDED",
		codes.Unavailable: "UNAVAILABLE", codes.Unauthenticated: "UNAUTHENTICATED",
	}
	name, ok := names[code]
	if !ok {
		name = code.String()
	}
	r.fields["status"], r.fields["reason"], r.fields["message"] = name, reason, message
}

// print prints the report.
func (r *report) print() {
	of := map[string]any{
		"sent": r.sent.Load(), "outcomes": r.kinds, "codes": r.codes, "in_order": r.inOrder, "end": r.last, "repeats": r.repeats,
		"are_same": r.areSame, "took_ms": time.Since(r.begun).Milliseconds(),
	}
	for name, value := range of {
		r.fields[name] = value
	}
	line, err := json.Marshal(r.fields)
	if err != nil {
		stop("%v", err)
	}
	fmt.Println(string(line))
}
