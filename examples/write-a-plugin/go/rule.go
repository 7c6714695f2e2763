package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
)

// The rule of `customer-tier`, which the head of plugin.go describes. Nothing here knows of Pointsman or WebAssembly.

// The reason for refusing a VIP customer's record without a key.
var errNoCustomer = errors.New("a VIP record needs the customer's id as its key")

// How many partitions are dedicated; 0 stands for a quarter.
type config struct {
	dedicated uint32
}

// Reads the configuration, JSON text: `{}`, or `{"dedicated":N}`.
func readConfig(text string) (config, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		return config{}, fmt.Errorf("the config is not a JSON object: %w", err)
	}
	var read config
	for key, value := range keys {
		if key != "dedicated" {
			return config{}, fmt.Errorf("unknown key `%s`; only `dedicated` is known", key)
		}
		count, err := strconv.ParseUint(string(value), 10, 32)
		if err != nil || count == 0 {
			return config{}, errors.New("`dedicated` must be an integer from 1 to 4294967295")
		}
		read.dedicated = uint32(count)
	}
	return read, nil
}

// Places a record by its key and its headers; `partitions` is at least 1. What is absent is nil.
func (c config) place(key []byte, partitions uint32, header func(name string) []byte) (uint32, error) {
	dedicated := c.dedicatedOf(partitions)
	if bytes.Equal(header("tier"), []byte("vip")) {
		if key == nil {
			return 0, errNoCustomer
		}
		return fnv1a32(key) % dedicated, nil
	}
	shared := partitions - dedicated
	if shared == 0 {
		return 0, nil
	}
	region := header("region")
	if region == nil {
		region = []byte("unknown")
	}
	return dedicated + fnv1a32(region)%shared, nil
}

// How many partitions are dedicated: at least one, and not all if there are several.
func (c config) dedicatedOf(partitions uint32) uint32 {
	dedicated := c.dedicated
	if dedicated == 0 {
		dedicated = partitions / 4
	}
	return max(1, min(dedicated, partitions-1))
}

// The 32 bit FNV-1a hash: Fowler, Noll and Vo, RFC 9923.
func fnv1a32(text []byte) uint32 {
	hash := fnv.New32a()
	hash.Write(text)
	return hash.Sum32()
}
