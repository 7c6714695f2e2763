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
// The rule itself is in rule.c and knows nothing of Pointsman; this file connects the two. wit-bindgen 0.61.1
// (`wit-bindgen c --no-object-file`) made plugin.h and plugin.c from the interface.

#include "plugin.h"
#include "rule.h"

// As configured for this instance; 0 stands for a quarter.
static uint32_t dedicated;

// The bindings refer to an object file that describes the interface. `pointsman plugin build` adds the description
// itself.
void __component_type_object_force_link_plugin(void) {}

bool exports_pointsman_partitioner_partitioner_configure(plugin_string_t *config, plugin_string_t *error) {
  char message[MESSAGE_SIZE];
  bool read = read_config((bytes){config->ptr, config->len}, &dedicated, message);
  // The host frees what it gets back, so that has to be a copy; the arguments are freed here.
  if (!read) plugin_string_dup(error, message);
  plugin_string_free(config);
  return read;
}

// The header's bytes, which `storage` keeps until it is freed.
static bytes header(const char *name, plugin_option_list_u8_t *storage) {
  plugin_string_t wanted;
  plugin_string_set(&wanted, name);
  storage->is_some = pointsman_partitioner_message_header(&wanted, &storage->val);
  return storage->is_some ? (bytes){storage->val.ptr, storage->val.len} : (bytes){NULL, 0};
}

void exports_pointsman_partitioner_partitioner_partition(plugin_list_u8_t *maybe_key, uint32_t partitions,
                                                         exports_pointsman_partitioner_partitioner_decision_t *decision) {
  plugin_option_list_u8_t tier_storage, region_storage;
  bytes key = maybe_key != NULL ? (bytes){maybe_key->ptr, maybe_key->len} : (bytes){NULL, 0};
  bytes tier = header("tier", &tier_storage);
  bytes region = header("region", &region_storage);

  uint32_t partition;
  if (place(dedicated, partitions, key, tier, region, &partition)) {
    decision->tag = POINTSMAN_PARTITIONER_TYPES_DECISION_PARTITION;
    decision->val.partition = partition;
  } else {
    decision->tag = POINTSMAN_PARTITIONER_TYPES_DECISION_REJECT;
    plugin_string_dup(&decision->val.reject, NO_CUSTOMER);
  }

  if (maybe_key != NULL) plugin_list_u8_free(maybe_key);
  plugin_option_list_u8_free(&tier_storage);
  plugin_option_list_u8_free(&region_storage);
}
