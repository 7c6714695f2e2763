package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the arguments NAME=VALUE. An empty text or a negative number is not given, and stays as the client has it.
type options struct {
	client, bootstrap, topic, mode      string
	compression, idempotent, acks       string
	user, password, ca                  string
	records, lingerMs, batchBytes, rate int
	deliveryTimeoutMs                   int
	deadline                            time.Duration
}

func readOptions(client string, arguments []string) options {
	given := map[string]string{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		given[name] = value
	}
	take := func(name, fallback string) string {
		value, ok := given[name]
		delete(given, name)
		if !ok {
			return fallback
		}
		return value
	}
	number := func(name string, fallback int) int {
		value, err := strconv.Atoi(take(name, strconv.Itoa(fallback)))
		if err != nil {
			stop("%s: %v", name, err)
		}
		return value
	}
	seconds, err := strconv.ParseFloat(take("deadline_s", "60"), 64)
	if err != nil {
		stop("deadline_s: %v", err)
	}
	o := options{
		client: client, bootstrap: take("bootstrap", ""), topic: take("topic", ""), mode: take("mode", "send"),
		compression: take("compression", ""), idempotent: take("idempotent", ""), acks: take("acks", ""),
		user: take("user", ""), password: take("password", ""), ca: take("ca", ""),
		records: number("records", 20_000), lingerMs: number("linger_ms", -1), batchBytes: number("batch_bytes", -1),
		rate: number("rate", -1), deliveryTimeoutMs: number("delivery_timeout_ms", -1),
		deadline: time.Duration(seconds * float64(time.Second)),
	}
	for name := range given {
		stop("unknown argument %s: tests/clients/README.md has those that are known", name)
	}
	if o.mode != "send" && o.mode != "one" {
		stop("no mode %s in this language: use mode=send or mode=one", o.mode)
	}
	if _, known := franzCompression[o.compression]; !known && o.compression != "" {
		stop("no compression %s: none, gzip, snappy, lz4 and zstd are here", o.compression)
	}
	if !slices.Contains([]string{"", "all", "1", "0"}, o.acks) {
		stop("no acks=%s: all, 1 and 0 are known", o.acks)
	}
	return o
}

// stop ends the program because it was called in the wrong way.
func stop(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

// tls is nil without an authority to trust.
func (o options) tls() *tls.Config {
	if o.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(o.ca)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		stop("no certificate in %s: %v", o.ca, err)
	}
	return &tls.Config{RootCAs: pool}
}

func milliseconds(ms int) time.Duration {
	return time.Duration(ms) * time.Millisecond
}
