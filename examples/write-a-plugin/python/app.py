"""`customer-tier` keeps VIP customers' records apart from all others:

- The first quarter of the partitions (rounded down, at least one) is dedicated to VIP customers, the rest is shared.
- A record whose header `tier` is `vip` goes to a dedicated partition, by the customer's id, which is its key; it is
  rejected without one.
- Any other record goes to a shared partition, by its header `region`; without one its region is `unknown`.
- "By" means: FNV-1a of the bytes, modulo the number of such partitions. A topic with one partition has no choice.

Configuration: `config = { dedicated = 2 }` dedicates two partitions instead of a quarter, but leaves one to share.

The rule itself is in rule.py and knows nothing of Pointsman; this file connects the two. guard.py sees to it that a mistake
is told in the host's log. The modules `wit_world` and `componentize_py_types` are made while the component is built;
`componentize-py -d wit -w plugin bindings .` writes them into this folder for an editor to see.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import message
from wit_world.imports.types import Decision, Decision_Partition, Decision_Reject

import guard
from rule import Refused, Rule


class Partitioner(exports.Partitioner):
    """The methods that the host calls."""

    # An attribute of the class, not of the object: componentize-py makes a new object for each call.
    rule = Rule()

    @guard.configures
    def configure(self, config: str) -> None:
        try:
            Partitioner.rule = Rule.from_config(config)
        except ValueError as error:
            raise Err(str(error)) from error

    @guard.decides
    def partition(self, key: bytes | None, partitions: int) -> Decision:
        try:
            return Decision_Partition(self.rule.place(key, partitions, message.header))
        except Refused as refused:
            return Decision_Reject(str(refused))
