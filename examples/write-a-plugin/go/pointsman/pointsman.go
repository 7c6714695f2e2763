// Package pointsman is the interface between a partitioner in Go and its host: pointsman:partitioner@1.1.0, whose own
// description decides what each thing means.
//
// A plugin calls [Export] in an init function. The functions that read the record, [Topic] to [Lookup], may only be
// called while Partition runs. Outside of a component, as under `go test`, all functions that would ask the host panic:
// pass them as arguments to the code under test, so that a test can replace them.
package pointsman

import "time"

// A Plugin decides, record by record, which partition a record goes to. The host has several instances of it, which
// share nothing, and may throw one away at any time.
type Plugin interface {
	// Configure is called once, before the first record. The config is the route's, as JSON; `{}` when it has none. The
	// operator is told the error, and the plugin does not come into service.
	Configure(config string) error

	// Partition is called once for each record. The key is nil when the record has none, which is different from an empty
	// one. The topic has at least one partition.
	Partition(key []byte, partitions uint32) Decision
}

// A Decision is the answer for one record. The zero Decision sends it to partition 0.
type Decision struct {
	kind   kind
	number uint32
	text   string
	bytes  []byte
}

type kind uint8

const (
	toPartition kind = iota
	toKeyHash
	toAny
	toTenant
	rejected
)

// Partition sends the record to this partition, counted from 0. A number that the topic does not have rejects the record.
func Partition(number uint32) Decision { return Decision{kind: toPartition, number: number} }

// KeyHash sends the record where Java's default partitioner sends this key.
func KeyHash(key []byte) Decision { return Decision{kind: toKeyHash, bytes: key} }

// Any lets the host pick.
func Any() Decision { return Decision{kind: toAny} }

// Tenant lets the routing table decide, and keeps the tenant's order while it moves. The shard key decides among the partitions of a tenant that has several; nil: the
// record has none.
func Tenant(name string, shardKey []byte) Decision {
	return Decision{kind: toTenant, text: name, bytes: shardKey}
}

// Reject refuses the record. The application is told the reason.
func Reject(reason string) Decision { return Decision{kind: rejected, text: reason} }

// A RecordHeader is one header of a record.
type RecordHeader struct {
	Name string
	// Never nil: a header without a value has no bytes here.
	Value []byte
}

// A SchemaID is the id of a schema in a schema registry: a GUID in lower-case hexadecimal with hyphens, or a number if that is empty.
type SchemaID struct {
	Number uint32
	GUID   string
}

// A Status is how a tenant is placed.
type Status uint8

const (
	// Shared: on partitions that other tenants use, too.
	Shared Status = iota
	// Dedicated: on partitions that no other tenant uses.
	Dedicated
	// Sharded: spread over several partitions by shard key.
	Sharded
)

// An Assignment is where a tenant's records go.
type Assignment struct {
	Status     Status
	Partitions []uint32
	// The version of the routing table that has this assignment for the first time.
	Version uint64
}

// A Level is how much a line matters to the operator.
type Level uint8

const (
	// Debug is for the plugin's developer. Off by default.
	Debug Level = iota
	// Info is normal and rare.
	Info
	// Warn: something is not as it should be, but records go on.
	Warn
	// Error: somebody must act.
	Error
)

// The plugin that was exported.
var exported Plugin

// Export makes the plugin the one that the host calls.
func Export(plugin Plugin) { exported = plugin }

// Topic is the topic that the record is for.
func Topic() string { return topic() }

// Value is the record's value; nil when the record is a tombstone.
func Value() []byte { return value() }

// Timestamp is the time that the application gave the record; false when it gave none.
func Timestamp() (time.Time, bool) {
	milliseconds, given := timestamp()
	return time.UnixMilli(milliseconds).UTC(), given
}

// Header is the value of the last header of that name; nil when there is none, no bytes when it has no value.
func Header(name string) []byte { return header(name) }

// Headers are all headers, in the order in which the application gave them.
func Headers() []RecordHeader { return headers() }

// Schema is the id of the schema that the value was written by, if the record's route checks that; false when the route has no schema
// for values, or when the host encodes values itself, after the decision.
func Schema() (SchemaID, bool) { return schemaID() }

// Field is the text of the scalar at a JSON pointer (RFC 6901) inside the value, such as `/customer/id`: a string's text, the JSON text of
// a number or a boolean. A value with a schema is read by it, any other as JSON. It is false when there is no such text, or when
// the value cannot be read. A text that is no JSON pointer is a trap.
func Field(pointer string) (string, bool) { return field(pointer) }

// Leaderless are the topic's partitions that have no leader at the moment.
func Leaderless() []uint32 { return leaderless() }

// QueuedBytes is how many bytes of records wait for each partition of the topic.
func QueuedBytes() []uint64 { return queuedBytes() }

// Lookup is where a tenant's records of this topic go; false when the routing table does not say. A plugin that looks a tenant
// up and answers a Partition itself is not covered by moves: the tenant's order is not kept while it moves. Answer Tenant instead.
func Lookup(tenant string) (Assignment, bool) { return lookup(tenant) }

// Log writes a line to the host's log.
func Log(level Level, line string) { log(level, line) }
