// Tests the rule without a host: `make test`. The name of this file keeps it out of the component.

#include "rule.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void check(bool holds, const char *what, int line) {
  if (holds) return;
  printf("test.c:%d: %s\n", line, what);
  failures++;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

static const bytes NONE = {NULL, 0};

static bytes text(const char *characters) { return (bytes){(const uint8_t *)characters, strlen(characters)}; }

// The partition; -1 when the record is refused.
static long placed(uint32_t dedicated, uint32_t partitions, bytes key, bytes tier, bytes region) {
  uint32_t partition;
  return place(dedicated, partitions, key, tier, region, &partition) ? (long)partition : -1;
}

static void the_hash_is_the_published_one(void) {
  CHECK(fnv1a32(text("")) == 0x811c9dc5);
  CHECK(fnv1a32(text("a")) == 0xe40c292c);
  CHECK(fnv1a32(text("foobar")) == 0xbf9cf968);
}

static void a_vip_customer_stays_on_one_dedicated_partition(void) {
  CHECK(placed(0, 12, text("c-17"), text("vip"), text("eu")) == 2);
  CHECK(placed(0, 12, NONE, text("vip"), text("eu")) == -1);
  CHECK(placed(0, 3, text("c-17"), text("vip"), NONE) == 0);
}

static void all_others_share_the_rest_by_region(void) {
  CHECK(placed(0, 12, text("c-17"), NONE, text("eu")) == 11);
  CHECK(placed(0, 12, NONE, text("VIP"), NONE) == 7);
  CHECK(placed(0, 1, NONE, NONE, NONE) == 0);
}

static void the_config_decides_how_many_are_dedicated_but_one_stays_shared(void) {
  CHECK(placed(2, 12, text("c-17"), text("vip"), NONE) == 1);
  CHECK(placed(99, 4, text("c-17"), NONE, NONE) == 3);
  CHECK(placed(99, 1, text("c-17"), NONE, NONE) == 0);
}

static void a_config_is_read_strictly(void) {
  char message[MESSAGE_SIZE];
  uint32_t dedicated;
  CHECK(read_config(text("{}"), &dedicated, message) && dedicated == 0);
  CHECK(read_config(text(" {\n\"dedicated\" : 4294967295 } "), &dedicated, message) && dedicated == 4294967295u);

  const char *wrong[] = {"", "3", "{", "{\"dedicated\"", "{\"dedicated\":", "{\"dedicated\":0}", "{\"dedicated\":-1}",
                         "{\"dedicated\":1.5}", "{\"dedicated\":4294967296}", "{\"dedicated\":\"1\"}",
                         "{\"dedicated\":1", "{\"dedicated\":1,}", "{} {}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    check(!read_config(text(wrong[i]), &dedicated, message) && strlen(message) > 0, wrong[i], __LINE__);
  }

  CHECK(!read_config(text("{\"dedicated\":1,\"dedicate\":2}"), &dedicated, message));
  CHECK(strcmp(message, "unknown key `dedicate`; only `dedicated` is known") == 0);
  CHECK(!read_config(text("{\"0123456789012345678901234567890123456789012345678901234567890123456789\":1}"), &dedicated,
                     message));
}

int main(void) {
  the_hash_is_the_published_one();
  a_vip_customer_stays_on_one_dedicated_partition();
  all_others_share_the_rest_by_region();
  the_config_decides_how_many_are_dedicated_but_one_stays_shared();
  a_config_is_read_strictly();
  if (failures == 0) puts("all is well");
  return failures == 0 ? 0 : 1;
}
