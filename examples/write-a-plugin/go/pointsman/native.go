//go:build !wasip1

package pointsman

// Outside of a component there is no host to ask.
const noHost = "pointsman: there is no host to ask here; hand the function in, so that a test can stand in for it"

func topic() string                    { panic(noHost) }
func value() []byte                    { panic(noHost) }
func timestamp() (int64, bool)         { panic(noHost) }
func header(string) []byte             { panic(noHost) }
func headers() []RecordHeader          { panic(noHost) }
func schemaID() (SchemaID, bool)       { panic(noHost) }
func field(string) (string, bool)      { panic(noHost) }
func leaderless() []uint32             { panic(noHost) }
func queuedBytes() []uint64            { panic(noHost) }
func lookup(string) (Assignment, bool) { panic(noHost) }
func log(Level, string)                { panic(noHost) }
