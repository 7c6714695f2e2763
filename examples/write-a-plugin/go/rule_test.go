package main

import (
	"strings"
	"testing"
)

// Tests the rule without a host: `go test ./...`.

type record struct {
	config     string
	partitions uint32
	key        []byte
	headers    map[string]string
}

func (r record) placed(t *testing.T) (uint32, error) {
	t.Helper()
	if r.config == "" {
		r.config = "{}"
	}
	config, err := readConfig(r.config)
	if err != nil {
		t.Fatal(err)
	}
	return config.place(r.key, r.partitions, func(name string) []byte {
		if value, there := r.headers[name]; there {
			return []byte(value)
		}
		return nil
	})
}

func (r record) mustGoTo(t *testing.T, partition uint32) {
	t.Helper()
	if placed, err := r.placed(t); err != nil || placed != partition {
		t.Errorf("%+v: %d, %v; want %d", r, placed, err, partition)
	}
}

func TestTheHashIsThePublishedOne(t *testing.T) {
	for text, hash := range map[string]uint32{"": 0x811c9dc5, "a": 0xe40c292c, "foobar": 0xbf9cf968} {
		if got := fnv1a32([]byte(text)); got != hash {
			t.Errorf("%q: %#x", text, got)
		}
	}
}

func TestAVIPCustomerStaysOnOneDedicatedPartition(t *testing.T) {
	headers := map[string]string{"tier": "vip", "region": "eu"}
	record{partitions: 12, key: []byte("c-17"), headers: headers}.mustGoTo(t, 2)
	record{partitions: 12, key: []byte{}, headers: headers}.mustGoTo(t, 1)
	record{partitions: 3, key: []byte("c-17"), headers: headers}.mustGoTo(t, 0)
	if _, err := (record{partitions: 12, headers: headers}).placed(t); err != errNoCustomer {
		t.Error(err)
	}
}

func TestAllOthersShareTheRestByRegion(t *testing.T) {
	record{partitions: 12, key: []byte("c-17"), headers: map[string]string{"region": "eu"}}.mustGoTo(t, 11)
	record{partitions: 12, headers: map[string]string{"tier": "VIP"}}.mustGoTo(t, 7)
	record{partitions: 12, headers: map[string]string{"region": ""}}.mustGoTo(t, 10)
	record{partitions: 1}.mustGoTo(t, 0)
}

func TestTheConfigDecidesHowManyAreDedicatedButOneStaysShared(t *testing.T) {
	vip := map[string]string{"tier": "vip"}
	record{config: `{"dedicated":2}`, partitions: 12, key: []byte("c-17"), headers: vip}.mustGoTo(t, 1)
	record{config: `{"dedicated":99}`, partitions: 4, key: []byte("c-17")}.mustGoTo(t, 3)
	record{config: `{"dedicated":99}`, partitions: 1, key: []byte("c-17")}.mustGoTo(t, 0)
}

func TestAConfigWithAMistakeIsRefusedByTheNameOfTheKey(t *testing.T) {
	refused := func(text, want string) {
		if _, err := readConfig(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	refused(`{"dedicate":2}`, "unknown key `dedicate`")
	for _, wrong := range []string{"0", "-1", "1.5", "4294967296", `"1"`, "null", "true"} {
		refused(`{"dedicated":`+wrong+`}`, "`dedicated` must be an integer")
	}
	for _, wrong := range []string{"", "3", "[]", "{} {}", `{"dedicated":1`} {
		refused(wrong, "not a JSON object")
	}
}
