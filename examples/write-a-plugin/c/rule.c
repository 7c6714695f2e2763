#include "rule.h"

#include <string.h>

const char *const NO_CUSTOMER = "a VIP record needs the customer's id as its key";

static const char *const NO_COUNT = "`dedicated` must be an integer from 1 to 4294967295";

uint32_t fnv1a32(bytes text) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < text.length; i++) hash = (hash ^ text.data[i]) * 16777619u;
  return hash;
}

static bool is(bytes text, const char *word) {
  size_t length = strlen(word);
  return text.data != NULL && text.length == length && memcmp(text.data, word, length) == 0;
}

// How many partitions are dedicated: at least one, and not all if there are several.
static uint32_t dedicated_of(uint32_t configured, uint32_t partitions) {
  uint32_t dedicated = configured == 0 ? partitions / 4 : configured;
  if (dedicated > partitions - 1) dedicated = partitions - 1;
  return dedicated == 0 ? 1 : dedicated;
}

bool place(uint32_t configured, uint32_t partitions, bytes key, bytes tier, bytes region, uint32_t *partition) {
  uint32_t dedicated = dedicated_of(configured, partitions);
  if (is(tier, "vip")) {
    if (key.data == NULL) return false;
    *partition = fnv1a32(key) % dedicated;
    return true;
  }
  uint32_t shared = partitions - dedicated;
  if (region.data == NULL) region = (bytes){(const uint8_t *)"unknown", 7};
  *partition = shared == 0 ? 0 : dedicated + fnv1a32(region) % shared;
  return true;
}

// The part of the configuration that is not read yet. A JSON library would work, too, but for one number it would be
// most of the component.
typedef struct {
  const uint8_t *at, *end;
} reader;

static void skip_space(reader *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) in->at++;
}

// Takes the character if it comes next.
static bool take(reader *in, char wanted) {
  skip_space(in);
  if (in->at == in->end || *in->at != (uint8_t)wanted) return false;
  in->at++;
  return true;
}

// Takes a key in quotes. A key with an escape ends early, but such a key is unknown in any case.
static bool take_key(reader *in, bytes *key) {
  if (!take(in, '"')) return false;
  key->data = in->at;
  while (in->at < in->end && *in->at != '"') in->at++;
  key->length = (size_t)(in->at - key->data);
  return take(in, '"');
}

// Takes an integer from 1 to 4294967295.
static bool take_count(reader *in, uint32_t *count) {
  uint64_t value = 0;
  skip_space(in);
  for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
    value = value * 10 + (uint64_t)(*in->at - '0');
    // Refuses 0, a leading 0, and numbers that do not fit.
    if (value == 0 || value > UINT32_MAX) return false;
  }
  *count = (uint32_t)value;
  return value != 0;
}

static bool refuse(char *message, const char *text) {
  strcpy(message, text);
  return false;
}

// A key is shown whole or not at all: a cut could leave half a character, and the host takes only UTF-8.
static bool refuse_key(char *message, bytes key) {
  strcpy(message, "unknown key `");
  if (key.length <= 64) {
    strncat(message, (const char *)key.data, key.length);
  } else {
    strcat(message, "(a long one)");
  }
  strcat(message, "`; only `dedicated` is known");
  return false;
}

bool read_config(bytes text, uint32_t *dedicated, char message[MESSAGE_SIZE]) {
  reader in = {text.data, text.data + text.length};
  bytes key;
  *dedicated = 0;
  if (!take(&in, '{')) return refuse(message, "the config is not a JSON object");
  if (!take(&in, '}')) {
    do {
      if (!take_key(&in, &key)) return refuse(message, "the config is not a JSON object");
      if (!is(key, "dedicated")) return refuse_key(message, key);
      if (!take(&in, ':') || !take_count(&in, dedicated)) return refuse(message, NO_COUNT);
    } while (take(&in, ','));
    if (!take(&in, '}')) return refuse(message, NO_COUNT);
  }
  skip_space(&in);
  return in.at == in.end || refuse(message, "the config goes on after its JSON object");
}
