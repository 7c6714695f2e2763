// The rule of `customer-tier`, which the head of glue.c describes. Nothing here knows of Pointsman or WebAssembly.
#ifndef RULE_H
#define RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Borrowed bytes. `data` is NULL when there are no bytes at all, which is different from a length of 0.
typedef struct {
  const uint8_t *data;
  size_t length;
} bytes;

// The reason for refusing a VIP customer's record without a key.
extern const char *const NO_CUSTOMER;

// Room for any message of `read_config`, with the 0 at its end.
#define MESSAGE_SIZE 128

// Reads the configuration, JSON text: `{}`, or `{"dedicated":N}`. The number of dedicated partitions goes to
// `dedicated`, 0 standing for a quarter. False: the text is not such a configuration, and `message` says what is wrong.
bool read_config(bytes text, uint32_t *dedicated, char message[MESSAGE_SIZE]);

// Places a record by its key and its headers; `partitions` is at least 1. False: the record needs a key.
bool place(uint32_t dedicated, uint32_t partitions, bytes key, bytes tier, bytes region, uint32_t *partition);

// The 32 bit FNV-1a hash: Fowler, Noll and Vo, RFC 9923.
uint32_t fnv1a32(bytes text);

#endif
