// `by-account` names the tenant of each record, so that the routing table decides where the record goes. The host follows
// the table, and keeps each tenant's order while the tenant moves: so the plugin names no partition itself.
//
// It has no configuration. The rule itself is in rule.js and knows nothing of Pointsman; this file connects the two.

import { guarded } from "./guard.js";
import { decide } from "./rule.js";

export const partitioner = guarded({
  configure(text) {
    if (Object.keys(JSON.parse(text)).length > 0) throw new Error("there is nothing to configure");
  },

  partition(key, _partitions) {
    return decide(key);
  },
});
