package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const failuresShown = 20

type told struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type failure struct {
	N int `json:"n"`
	told
}

// report is what has become of the records. Its methods may be called from any goroutine.
type report struct {
	options options
	version string

	lock         sync.Mutex
	allAnswered  *sync.Cond
	begun        time.Time
	progress     time.Time
	handedOverAt map[int]time.Time
	latencies    []time.Duration
	sent, acked  int
	failures     int
	lastFailed   int
	failed       []failure
	negative     int
	other        int
	err          *told
}

func newReport(o options, module string) *report {
	r := &report{
		options: o, version: versionOf(module), begun: time.Now(), progress: time.Now(),
		handedOverAt: map[int]time.Time{}, lastFailed: -1, failed: []failure{},
	}
	r.allAnswered = sync.NewCond(&r.lock)
	go r.watch()
	return r
}

func versionOf(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "unknown"
}

// handOver notes that record n is about to be given to the client; it waits before that if a rate is asked for.
func (r *report) handOver(n int) {
	if r.options.rate > 0 {
		time.Sleep(time.Until(r.begun.Add(time.Duration(n) * time.Second / time.Duration(r.options.rate))))
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.handedOverAt[n] = time.Now()
	r.sent++
}

// handedOver begins the deadline anew once the client's call has returned, unless all that the call did was to fail.
func (r *report) handedOver(n int) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if n != r.lastFailed {
		r.progress = time.Now()
	}
}

// ack notes that record n was acknowledged, with the offset that the client shows.
func (r *report) ack(n int, offset int64) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if !r.answered(n) {
		return
	}
	r.acked++
	if offset < 0 {
		r.negative++
	} else {
		r.other++
	}
}

// fail notes that record n was not acknowledged, and why.
func (r *report) fail(n int, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if !r.answered(n) {
		return
	}
	r.failures++
	r.lastFailed = n
	if len(r.failed) < failuresShown {
		r.failed = append(r.failed, failure{n, tell(err)})
	}
}

// clientError notes an error that is not one record's.
func (r *report) clientError(err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	of := tell(err)
	r.err = &of
}

// tell gives an error the name that its client has for it, or its type's.
func tell(err error) told {
	code := fmt.Sprint(reflect.TypeOf(err))
	if named := clientsName(err); named != "" {
		code = named
	}
	return told{code, err.Error()}
}

func (r *report) answered(n int) bool {
	at, waits := r.handedOverAt[n]
	if !waits {
		r.err = &told{"answered_twice", fmt.Sprintf("record %d was answered again, or was never sent", n)}
		return false
	}
	delete(r.handedOverAt, n)
	r.latencies = append(r.latencies, time.Since(at))
	if len(r.handedOverAt) == 0 {
		r.allAnswered.Broadcast()
	}
	return true
}

// wait returns when every record has its answer. The deadline ends the process.
func (r *report) wait() {
	r.lock.Lock()
	defer r.lock.Unlock()
	for len(r.handedOverAt) > 0 {
		r.allAnswered.Wait()
	}
}

// watch ends a client that blocks for ever.
func (r *report) watch() {
	for {
		r.lock.Lock()
		left := time.Until(r.progress.Add(r.options.deadline))
		r.lock.Unlock()
		if left <= 0 {
			r.finish()
		}
		time.Sleep(min(left, 200*time.Millisecond))
	}
}

// finish prints the report and ends the process, whatever the client still does.
func (r *report) finish() {
	// Never given back: whoever comes second must not print, too.
	r.lock.Lock()
	fields := map[string]any{
		"client": r.options.client, "version": r.version, "mode": r.options.mode, "leaves_out": []string{},
		"sent": r.sent, "acked": r.acked, "failures": r.failures, "failed": r.failed, "unanswered": len(r.handedOverAt),
		"offsets": map[string]int{"none": 0, "negative": r.negative, "other": r.other},
		"took_ms": time.Since(r.begun).Milliseconds(), "error": r.err,
	}
	unit, length := "ms", time.Millisecond
	if r.options.mode == "one" {
		unit, length = "us", time.Microsecond
	}
	slices.Sort(r.latencies)
	if count := len(r.latencies); count > 0 {
		for _, percent := range []int{50, 99} {
			at := r.latencies[min(count-1, count*percent/100)]
			fields[fmt.Sprintf("p%d_%s", percent, unit)] = float64(at) / float64(length)
		}
	}
	line, err := json.Marshal(fields)
	if err != nil {
		stop("%v", err)
	}
	fmt.Println(string(line))
	os.Exit(0)
}
