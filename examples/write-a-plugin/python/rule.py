"""The rule of `customer-tier`, which the head of app.py describes."""

import json
from collections.abc import Callable
from dataclasses import dataclass

NO_CUSTOMER = "a VIP record needs the customer's id as its key"


class Refused(Exception):
    """The record must not be produced; the text says why."""


@dataclass(frozen=True)
class Rule:
    """The rule, with the route's configuration."""

    dedicated: int | None = None
    """How many partitions are dedicated to VIP customers; a quarter when there is none."""

    @classmethod
    def from_config(cls, text: str) -> "Rule":
        """Reads JSON text: `{}`, or `{"dedicated":N}`. A ValueError says what is wrong with any other text."""
        config = json.loads(text)
        for key in config:
            if key != "dedicated":
                raise ValueError(f"unknown key `{key}`; only `dedicated` is known")
        if not config:
            return cls()
        dedicated = config["dedicated"]
        # `type`, because True is an int as well.
        if type(dedicated) is not int or not 1 <= dedicated <= 0xFFFF_FFFF:
            raise ValueError("`dedicated` must be an integer from 1 to 4294967295")
        return cls(dedicated)

    def place(self, key: bytes | None, partitions: int, header: Callable[[str], bytes | None]) -> int:
        """Places a record by its key and its headers, or raises `Refused`; `partitions` is at least 1."""
        dedicated = self._dedicated(partitions)
        if header("tier") == b"vip":
            if key is None:
                raise Refused(NO_CUSTOMER)
            return fnv1a32(key) % dedicated
        shared = partitions - dedicated
        if shared == 0:
            return 0
        region = header("region")
        return dedicated + fnv1a32(b"unknown" if region is None else region) % shared

    def _dedicated(self, partitions: int) -> int:
        """How many of the partitions are dedicated: at least one, and not all if there are several."""
        wanted = partitions // 4 if self.dedicated is None else self.dedicated
        return max(1, min(wanted, partitions - 1))


def fnv1a32(data: bytes) -> int:
    """The 32 bit FNV-1a hash: Fowler, Noll and Vo, RFC 9923."""
    digest = 2166136261
    for byte in data:
        digest = (digest ^ byte) * 16777619 & 0xFFFF_FFFF
    return digest
