// The rule of `customer-tier`, which the head of plugin.js describes. Both Node and the component run this file.

// The reason for refusing a VIP customer's record without a key.
export const NO_CUSTOMER = "a VIP record needs the customer's id as its key";

const VIP = ascii("vip");
const UNKNOWN = ascii("unknown");

// Reads the configuration, JSON text: `{}`, or `{"dedicated":N}`. Throws when it is something else.
export function readConfig(text) {
  const config = JSON.parse(text);
  for (const key of Object.keys(config)) {
    if (key !== "dedicated") throw new Error(`unknown key \`${key}\`; only \`dedicated\` is known`);
  }
  const { dedicated } = config;
  if (dedicated !== undefined && !(Number.isInteger(dedicated) && dedicated >= 1 && dedicated <= 0xffff_ffff)) {
    throw new Error("`dedicated` must be an integer from 1 to 4294967295");
  }
  return { dedicated };
}

// Places a record by its key and its headers: `{ partition }` or `{ reject }`. `partitions` is at least 1; `header`
// gives the bytes of a header by its name. Absent values are null.
export function place(config, key, partitions, header) {
  const dedicated = dedicatedOf(config, partitions);
  const tier = header("tier");
  if (tier != null && equal(tier, VIP)) {
    return key == null ? { reject: NO_CUSTOMER } : { partition: fnv1a32(key) % dedicated };
  }
  const shared = partitions - dedicated;
  if (shared === 0) return { partition: 0 };
  return { partition: dedicated + (fnv1a32(header("region") ?? UNKNOWN) % shared) };
}

// How many partitions are dedicated: at least one, and not all if there are several.
function dedicatedOf(config, partitions) {
  return Math.max(1, Math.min(config.dedicated ?? Math.floor(partitions / 4), partitions - 1));
}

// The 32 bit FNV-1a hash: Fowler, Noll and Vo, RFC 9923.
export function fnv1a32(bytes) {
  let hash = 2166136261;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

function equal(some, others) {
  return some.length === others.length && some.every((byte, index) => byte === others[index]);
}

// The component's engine has no TextEncoder.
function ascii(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
