package main

import (
	"fmt"
	"strconv"
	"time"
)

const firstTimestampMs = 1_700_000_000_000

// As it stands in JSON: 40 characters, some of which a careless program would break.
const text = `forty letters with ä and a \"quoted\" part`

type header struct {
	name  string
	value []byte
}

// key of record n: nil, empty or text.
func key(n int) []byte {
	switch {
	case n%50 == 49:
		return nil
	case n%51 == 50:
		return []byte{}
	}
	return []byte(fmt.Sprintf("k%d", n%97))
}

// value of record n, or nil. Some clients refuse a record without key and value, so none has neither.
func value(n int) []byte {
	if n%60 == 59 && key(n) != nil {
		return nil
	}
	return []byte(fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, text))
}

func headers(n int) []header {
	return []header{
		{"n", []byte(strconv.Itoa(n))},
		{"twice", []byte("a")},
		{"twice", []byte("b")},
		{"empty", []byte{}},
		{"null", nil},
	}
}

func timestamp(n int) time.Time {
	return time.UnixMilli(firstTimestampMs + int64(n))
}
