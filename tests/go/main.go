// A plugin in Go that does what programs in Go usually do, as each record's key says. It shows that the runtime, and
// the package that connects it to the host, support all of that; `run` beside it says how.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"os"
	"runtime"
	"sync"
	"time"

	"example.com/customer-tier/pointsman"
)

type plugin struct {
	kept   [][]byte
	hashes []uint32
	ticks  chan int
}

func (p *plugin) Configure(text string) error {
	switch text {
	case `{"do":"refuse"}`:
		return errors.New("no \xff")
	case `{"do":"panic"}`:
		panic("in configure")
	case `{"do":"ask"}`:
		pointsman.Topic()
	}
	return nil
}

func (p *plugin) Partition(key []byte, partitions uint32) pointsman.Decision {
	if key == nil {
		return pointsman.Reject("no key")
	}
	trap(string(key))
	if habit, known := habits[string(key)]; known {
		return habit()
	}
	if string(key) == "background" {
		p.background()
		return pointsman.Any()
	}
	p.remember(key)
	return pointsman.Partition(hash(key) % partitions)
}

// What a plugin may do, with results that the host must see.
var habits = map[string]func() pointsman.Decision{
	"":       func() pointsman.Decision { return pointsman.Reject("an empty key") },
	"text":   func() pointsman.Decision { return pointsman.Reject("a\xffb") },
	"hash":   func() pointsman.Decision { return pointsman.KeyHash(pointsman.Value()) },
	"hash-0": func() pointsman.Decision { return pointsman.KeyHash(nil) },
	"tenant": func() pointsman.Decision { return pointsman.Tenant("acme", nil) },
	"shard":  func() pointsman.Decision { return pointsman.Tenant("acme", []byte{}) },
	"lookup": func() pointsman.Decision { return pointsman.Reject(fmt.Sprint(pointsman.Lookup("acme"))) },
	"record": record,
	"fields": fields,
	"print":  prints,
	"sleep":  sleeps,
	"many":   many,
	"stacks": stacks,
	"panics": recovers,
	"nothing": func() pointsman.Decision {
		read, err := os.Stdin.Read(make([]byte, 1))
		return pointsman.Reject(fmt.Sprint(read, " ", err, " ", len(os.Args), " ", len(os.Environ())))
	},
}

func record() pointsman.Decision {
	time, given := pointsman.Timestamp()
	return pointsman.Reject(fmt.Sprint(pointsman.Topic(), " ", time.UnixMilli(), " ", given, " ", pointsman.Leaderless(),
		" ", pointsman.QueuedBytes(), " ", pointsman.Value() == nil, " ", pointsman.Headers(), " ",
		pointsman.Header("absent") == nil, " ", pointsman.Header("empty") == nil, " ", pointsman.Header("\xff") == nil))
}

func fields() pointsman.Decision {
	id, hasSchema := pointsman.Schema()
	name, hasName := pointsman.Field("/name")
	_, hasOther := pointsman.Field("/other\xff")
	return pointsman.Reject(fmt.Sprint(id.Number, " ", id.GUID, " ", hasSchema, " ", name, " ", hasName, " ", hasOther))
}

func prints() pointsman.Decision {
	fmt.Println("standard output: zoë ☀", time.Now().UTC(), rand.Int())
	fmt.Fprintln(os.Stderr, "standard error: \xff \xe2\x98")
	log.Print("log")
	println("println", 3)
	fmt.Print(string(bytes.Repeat([]byte("ab☀"), 500)))
	pointsman.Log(pointsman.Debug, "the host's own log \xff")
	return pointsman.Any()
}

// Waiting makes time pass.
func sleeps() pointsman.Decision {
	begun := time.Now()
	time.Sleep(3 * time.Hour)
	return pointsman.Reject(time.Since(begun).Round(time.Hour).String())
}

// Goroutines that ask the host and make garbage, all at the same time.
func many() pointsman.Decision {
	expected := hash(pointsman.Value())
	var group sync.WaitGroup
	for range 6 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 6 {
				value, headers := pointsman.Value(), pointsman.Headers()
				sink = make([]byte, 64<<10)
				runtime.Gosched()
				if hash(value) != expected || len(headers) != len(pointsman.Headers()) {
					panic("a goroutine got what is not its own")
				}
			}
		}()
	}
	group.Wait()
	return pointsman.Any()
}

// The host's answer needs room on a stack that is nearly full. At one of these depths the stack has to grow.
func stacks() pointsman.Decision {
	expected := hash(pointsman.Value())
	found := make(chan uint32)
	for depth := range 60 {
		go func() { found <- climb(depth) }()
		if <-found != expected {
			panic("what the host said went to a stack that was left")
		}
	}
	return pointsman.Any()
}

func climb(more int) uint32 {
	var frame [5]uint64
	if more == 0 {
		return hash(pointsman.Value())
	}
	frame[more%5] = uint64(more)
	found := climb(more - 1)
	if frame[more%5] != uint64(more) {
		panic("a frame has changed")
	}
	return found
}

func recovers() (decision pointsman.Decision) {
	defer func() { decision = pointsman.Reject(fmt.Sprint(recover())) }()
	var none *plugin
	none.remember(nil)
	return pointsman.Any()
}

// Ends the instance if the key asks for it; else returns.
func trap(key string) {
	switch key {
	case "panic":
		panic("on the topic " + pointsman.Topic())
	case "goroutine-panic":
		go panic("in a goroutine")
		select {}
	case "deadlock":
		select {}
	case "exit":
		os.Exit(0)
	case "forever":
		for {
			sink = key
		}
	case "deep":
		sink = deep(0)
	case "memory":
		for all := [][]byte{}; ; sink = all {
			all = append(all, make([]byte, 1<<20))
		}
	}
}

func deep(level int) int {
	var frame [64]int
	frame[level%64] = level
	return deep(level+1) + frame[(level+1)%64]
}

// A goroutine that outlives the call, and asks the host whenever it can.
func (p *plugin) background() {
	if p.ticks == nil {
		p.ticks = make(chan int)
		go func() {
			for {
				pointsman.Log(pointsman.Debug, "tick")
				sink = make([]byte, 1000)
				runtime.Gosched()
			}
		}()
	}
	runtime.Gosched()
}

// Keeps values over some records, and checks that they have not changed.
func (p *plugin) remember(key []byte) {
	p.keep(key)
	value := pointsman.Value()
	p.keep(value)
	for _, header := range pointsman.Headers() {
		p.keep(header.Value)
		p.keep(pointsman.Header(header.Name))
	}
	if len(p.kept) < 300 && len(value) < 100_000 {
		return
	}
	for i, bytes := range p.kept {
		if hash(bytes) != p.hashes[i] {
			panic("what was received has changed")
		}
	}
	p.kept, p.hashes = nil, nil
}

func (p *plugin) keep(bytes []byte) {
	p.kept = append(p.kept, bytes)
	p.hashes = append(p.hashes, hash(bytes))
}

// FNV-1a; of a long value, only of its beginning and its end.
func hash(text []byte) uint32 {
	if len(text) > 4096 {
		text = append(text[:2048:2048], text[len(text)-2048:]...)
	}
	hash := uint32(2166136261)
	for _, character := range text {
		hash = (hash ^ uint32(character)) * 16777619
	}
	return hash
}

// Holds values that the compiler would otherwise omit.
var sink any

func init() { pointsman.Export(&plugin{}) }

func main() {}
