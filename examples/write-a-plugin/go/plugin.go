// `customer-tier` keeps VIP customers' records apart from all others:
//
//   - The first quarter of the partitions (rounded down, at least one) is dedicated to VIP customers, the rest is shared.
//   - A record whose header `tier` is `vip` goes to a dedicated partition, by the customer's id, which is its key; it is
//     rejected without one.
//   - Any other record goes to a shared partition, by its header `region`; without one its region is `unknown`.
//   - "By" means: FNV-1a of the bytes, modulo the number of such partitions. A topic with one partition has no choice.
//
// Configuration: `config = { dedicated = 2 }` dedicates two partitions instead of a quarter, but leaves one to share.
//
// The rule itself is in rule.go and knows nothing of Pointsman; this file connects the two. The package pointsman
// beside it is the interface between a host and a plugin in Go.
package main

import "example.com/customer-tier/pointsman"

type plugin struct {
	config config
}

// The host calls this once for each instance. The operator is told the error.
func (p *plugin) Configure(text string) (err error) {
	p.config, err = readConfig(text)
	return err
}

// The host calls this once for each record. The key is nil when the record has none.
func (p *plugin) Partition(key []byte, partitions uint32) pointsman.Decision {
	partition, err := p.config.place(key, partitions, pointsman.Header)
	if err != nil {
		return pointsman.Reject(err.Error())
	}
	return pointsman.Partition(partition)
}

func init() { pointsman.Export(&plugin{}) }

// Never runs: the host calls a plugin's functions.
func main() {}
