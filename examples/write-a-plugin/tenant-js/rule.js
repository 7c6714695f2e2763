// The rule of `by-account`: a record's tenant is the account in front of the first `:` of its key, and what is behind it
// is the shard key, which spreads the records of an account that has several partitions.

// The reason for refusing a record without an account.
export const NO_ACCOUNT = "the record's key must be an account, a `:` and an id";

// Most bytes of a tenant's name.
const NAME_BYTES = 255;

// What to decide about a record with this key, which is null or bytes.
export function decide(key) {
  const end = key == null ? -1 : key.indexOf(":".charCodeAt(0));
  const account = end < 1 || end > NAME_BYTES ? null : text(key.subarray(0, end));
  if (account === null) return { tag: "reject", val: NO_ACCOUNT };
  return { tag: "tenant", val: { tenant: account, shardKey: key.subarray(end + 1) } };
}

// The text of these bytes; null if they are not ASCII, since the component's engine has no TextDecoder.
function text(bytes) {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...bytes) : null;
}
