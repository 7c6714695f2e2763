// `customer-tier` keeps VIP customers' records apart from all others:
//
// - The first quarter of the partitions (rounded down, at least one) is dedicated to VIP customers, the rest is shared.
// - A record whose header `tier` is `vip` goes to a dedicated partition, by the customer's id, which is its key; it is
//   rejected without one.
// - Any other record goes to a shared partition, by its header `region`; without one its region is `unknown`.
// - "By" means: FNV-1a of the bytes, modulo the number of such partitions. A topic with one partition has no choice.
//
// Configuration: `config = { dedicated = 2 }` dedicates two partitions instead of a quarter, but leaves one to share.
//
// The rule itself is in rule.js and knows nothing of Pointsman; this file connects the two. guard.js writes mistakes to
// the host's log.

import { header } from "pointsman:partitioner/message@1.1.0";
import { guarded } from "./guard.js";
import { place, readConfig } from "./rule.js";

let config;

// The functions that the host calls. Bytes come as Uint8Array, absent values as null. The operator is told what
// `configure` throws.
export const partitioner = guarded({
  configure(text) {
    config = readConfig(text);
  },

  partition(key, partitions) {
    const placed = place(config, key, partitions, header);
    return "reject" in placed ? { tag: "reject", val: placed.reject } : { tag: "partition", val: placed.partition };
  },
});
