//go:build wasip1

package pointsman

import (
	"runtime"
	"runtime/debug"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// The component model's canonical ABI by hand: it is a few lines for this interface, and a plugin then needs no module but
// itself. Pointers are 32 bits in the component and 64 in Go, so what is answered is laid out in words.
//
// The host's calls run on the goroutine that is running; another one runs only when that one waits or allocates. So
// received memory is taken over before anything is allocated.

// How large the heap may grow before the collector works harder. By default, a host gives a plugin 32 MiB in all.
const heapLimit = 20 << 20

func init() {
	debug.SetMemoryLimit(heapLimit)
	textTo(unsafe.Pointer(&text), uint32(unsafe.Sizeof(text)))
}

// Printed text (to standard output and standard error, including a panic's trace) is collected here, and goes to the
// host's log line by line. `pointsman plugin build` adds the code that does this; it knows this layout.
var text struct {
	// Not 0 while the host must not be called: then text waits.
	held  uint32
	used  uint32
	level uint32
	line  [1012]byte
}

//go:wasmimport wasi_snapshot_preview1 pointsman_text
func textTo(buffer unsafe.Pointer, size uint32)

// Memory that the host has asked for and the plugin has not taken over yet, and the newest piece of it.
var received [][]uint64

// The host asks for memory in the middle of a call to it, and must not be called until that call ends. Allocating may
// start a garbage collection and let a goroutine run that wants to call the host, which then has to wait.
var lowering bool

func mayCall() {
	for lowering {
		runtime.Gosched()
	}
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	lowering, text.held = true, 1
	// Words are aligned to 8, which is the most that the interface needs.
	words := make([]uint64, size/8+1)
	memory := unsafe.Pointer(unsafe.SliceData(words))
	if old != nil {
		copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(old), oldSize))
	}
	received = append(received, words)
	lowering, text.held = false, 0
	return memory
}

// From here on, received memory lives as long as the plugin refers to it.
func taken() {
	clear(received)
	received = received[:0]
}

func pointer(address uint32) unsafe.Pointer { return unsafe.Add(nil, address) }

// A list, or nil if it is an absent one. The bytes of a present one are never nil.
func list[T any](present bool, address, length uint32) []T {
	switch {
	case !present:
		return nil
	case length == 0:
		return []T{}
	}
	return unsafe.Slice((*T)(pointer(address)), length)
}

func str(address, length uint32) string {
	return unsafe.String((*byte)(pointer(address)), length)
}

// Calls from the host.

// The last call's answer, kept until the next call, because the host reads it after the call.
var (
	answer [6]uint32
	kept   Decision
)

func bytesOf(list []byte) (address, length uint32) {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(list)))), uint32(len(list))
}

// The host takes only UTF-8.
func stringOf(text *string) (address, length uint32) {
	*text = strings.ToValidUTF8(*text, "\ufffd")
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(*text)))), uint32(len(*text))
}

func plugin() Plugin {
	if exported == nil {
		panic("there is no plugin: call pointsman.Export in an init function")
	}
	return exported
}

//go:wasmexport pointsman:partitioner/partitioner@1.1.0#configure
func configure(address unsafe.Pointer, length uint32) unsafe.Pointer {
	config := unsafe.String((*byte)(address), length)
	taken()
	answer = [6]uint32{}
	if err := plugin().Configure(config); err != nil {
		kept = Reject(err.Error())
		answer[0] = 1
		answer[1], answer[2] = stringOf(&kept.text)
	}
	return unsafe.Pointer(&answer)
}

//go:wasmexport pointsman:partitioner/partitioner@1.1.0#partition
func partition(present uint32, address unsafe.Pointer, length, partitions uint32) unsafe.Pointer {
	var key []byte
	if present != 0 {
		key = list[byte](true, uint32(uintptr(address)), length)
	}
	taken()
	kept = plugin().Partition(key, partitions)
	answer = [6]uint32{uint32(kept.kind)}
	switch kept.kind {
	case toPartition:
		answer[1] = kept.number
	case toKeyHash:
		answer[1], answer[2] = bytesOf(kept.bytes)
	case toTenant:
		answer[1], answer[2] = stringOf(&kept.text)
		if kept.bytes != nil {
			answer[3] = 1
			answer[4], answer[5] = bytesOf(kept.bytes)
		}
	case rejected:
		answer[1], answer[2] = stringOf(&kept.text)
	}
	return unsafe.Pointer(&answer)
}

// Calls to the host. Each answers into `told`, which is read before anything else can run.

var told struct {
	_     [0]uint64
	words [8]uint32
}

//go:wasmimport pointsman:partitioner/message@1.1.0 topic
func messageTopic(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 value
func messageValue(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 timestamp
func messageTimestamp(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 header
func messageHeader(name string, told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 headers
func messageHeaders(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 schema-id
func messageSchemaID(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/message@1.1.0 field
func messageField(pointer string, told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/topology@1.1.0 leaderless
func topologyLeaderless(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/topology@1.1.0 queued-bytes
func topologyQueuedBytes(told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/routes@1.1.0 lookup
func routesLookup(tenant string, told unsafe.Pointer)

//go:wasmimport pointsman:partitioner/log@1.1.0 log
func logLog(level uint32, message string)

func topic() string {
	mayCall()
	messageTopic(unsafe.Pointer(&told))
	topic := str(told.words[0], told.words[1])
	taken()
	return topic
}

func value() []byte {
	mayCall()
	messageValue(unsafe.Pointer(&told))
	return optional()
}

func header(name string) []byte {
	if !utf8.ValidString(name) {
		return nil
	}
	mayCall()
	messageHeader(name, unsafe.Pointer(&told))
	return optional()
}

func optional() []byte {
	bytes := list[byte](told.words[0]&0xff != 0, told.words[1], told.words[2])
	taken()
	return bytes
}

func timestamp() (int64, bool) {
	mayCall()
	messageTimestamp(unsafe.Pointer(&told))
	if told.words[0]&0xff == 0 {
		return 0, false
	}
	return int64(uint64(told.words[3])<<32 | uint64(told.words[2])), true
}

func headers() []RecordHeader {
	mayCall()
	messageHeaders(unsafe.Pointer(&told))
	raw := list[[4]uint32](true, told.words[0], told.words[1])
	// Making the list may let other goroutines run, which may call the host, too.
	mine := received
	received = nil
	headers := make([]RecordHeader, len(raw))
	for i, header := range raw {
		headers[i] = RecordHeader{Name: str(header[0], header[1]), Value: list[byte](true, header[2], header[3])}
	}
	runtime.KeepAlive(mine)
	return headers
}

func schemaID() (SchemaID, bool) {
	mayCall()
	messageSchemaID(unsafe.Pointer(&told))
	switch {
	case told.words[0]&0xff == 0:
		return SchemaID{}, false
	case told.words[1]&0xff == 0:
		return SchemaID{Number: told.words[2]}, true
	}
	id := SchemaID{GUID: str(told.words[2], told.words[3])}
	taken()
	return id, true
}

func field(pointer string) (string, bool) {
	mayCall()
	messageField(strings.ToValidUTF8(pointer, "\ufffd"), unsafe.Pointer(&told))
	if told.words[0]&0xff == 0 {
		return "", false
	}
	text := str(told.words[1], told.words[2])
	taken()
	return text, true
}

func leaderless() []uint32 {
	mayCall()
	topologyLeaderless(unsafe.Pointer(&told))
	partitions := list[uint32](true, told.words[0], told.words[1])
	taken()
	return partitions
}

func queuedBytes() []uint64 {
	mayCall()
	topologyQueuedBytes(unsafe.Pointer(&told))
	bytes := list[uint64](true, told.words[0], told.words[1])
	taken()
	return bytes
}

func lookup(tenant string) (Assignment, bool) {
	if !utf8.ValidString(tenant) {
		return Assignment{}, false
	}
	mayCall()
	routesLookup(tenant, unsafe.Pointer(&told))
	if told.words[0]&0xff == 0 {
		return Assignment{}, false
	}
	found := Assignment{
		Status:     Status(told.words[2]),
		Partitions: list[uint32](true, told.words[3], told.words[4]),
		Version:    uint64(told.words[7])<<32 | uint64(told.words[6]),
	}
	taken()
	return found, true
}

func log(level Level, line string) {
	line = strings.ToValidUTF8(line, "\ufffd")
	mayCall()
	logLog(uint32(level), line)
}
