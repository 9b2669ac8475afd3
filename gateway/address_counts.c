#include "gateway/address_counts.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/random.h"

// A worker has at most as many connections as a slot has entries.
#define ENTRIES ((size_t)16384)
// How many entries, from the one that the key's hash names, may hold a key.
#define PROBES ((size_t)16)

// An entry that holds nothing is free, whatever its key is.
struct entry {
  atomic_uint_least64_t key;
  atomic_uint_least64_t held[ADDRESS_RESOURCES];
};

struct address_slot {
  atomic_int pid;  // 0: free
  uint64_t seed;   // of the hash, so that nobody can choose addresses that share an entry
  atomic_uint_least64_t held_by_all[ADDRESS_RESOURCES];
  struct entry entries[ENTRIES];
};

// ---- keys ----

static bool is_ipv4_inside(const unsigned char *bytes)
{
  static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};
  return memcmp(bytes, prefix, sizeof(prefix)) == 0;
}

static uint64_t read_number(const unsigned char *bytes, size_t size)
{
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++)
    number = number << 8 | bytes[i];
  return number;
}

// IPv4 addresses share the key space with prefixes of IPv6. They take keys of the multicast range, from which no
// connection comes.
static uint64_t make_ipv4_key(const void *bytes)
{
  return UINT64_C(0xff) << 56 | read_number(bytes, 4);
}

bool address_key(const struct sockaddr *address, uint64_t *key)
{
  if (address->sa_family == AF_INET) {
    struct sockaddr_in ipv4;
    memcpy(&ipv4, address, sizeof(ipv4));
    *key = make_ipv4_key(&ipv4.sin_addr);
    return true;
  }
  if (address->sa_family != AF_INET6)
    return false;
  struct sockaddr_in6 ipv6;
  memcpy(&ipv6, address, sizeof(ipv6));
  const unsigned char *bytes = ipv6.sin6_addr.s6_addr;
  *key = is_ipv4_inside(bytes) ? make_ipv4_key(bytes + 12) : read_number(bytes, 8);
  return true;
}

// ---- slots ----

size_t address_counts_size(size_t slots)
{
  return slots * sizeof(struct address_slot);
}

static bool is_alive(int pid)
{
  return pid != 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

bool address_counts_attach(struct address_counts *counts, void *memory, size_t slots)
{
  *counts = (struct address_counts){.slots = memory, .slot_count = slots};
  for (size_t i = 0; i < slots; i++) {
    struct address_slot *slot = &counts->slots[i];
    int before = atomic_load(&slot->pid);
    if (is_alive(before) || !atomic_compare_exchange_strong(&slot->pid, &before, getpid()))
      continue;
    // A slot that nobody has used is zero. Its pages stay untouched, and so cost nothing.
    if (slot->seed != 0) {
      memset(slot->held_by_all, 0, sizeof(slot->held_by_all));
      memset(slot->entries, 0, sizeof(slot->entries));
    }
    random_bytes(&slot->seed, sizeof(slot->seed));
    slot->seed |= 1;
    counts->own = slot;
    return true;
  }
  return false;
}

void address_counts_detach(struct address_counts *counts)
{
  if (counts->own != NULL)
    atomic_store(&counts->own->pid, 0);
  counts->own = NULL;
}

// ---- entries ----

static size_t find_place(const struct address_slot *slot, uint64_t key)
{
  uint64_t hash = (key ^ slot->seed) * UINT64_C(0x9e3779b97f4a7c15);
  hash ^= hash >> 32;
  hash = (hash + slot->seed) * UINT64_C(0xd6e8feb86659fd93);
  return (size_t)(hash >> 40);
}

static uint64_t load_relaxed(const atomic_uint_least64_t *number)
{
  return atomic_load_explicit(number, memory_order_relaxed);
}

static bool is_free(const struct entry *entry)
{
  for (size_t i = 0; i < ADDRESS_RESOURCES; i++)
    if (load_relaxed(&entry->held[i]) != 0)
      return false;
  return true;
}

// Finds the entry of a key. NULL where the key holds nothing in this slot.
static struct entry *find_entry(struct address_slot *slot, uint64_t key)
{
  size_t place = find_place(slot, key);
  for (size_t i = 0; i < PROBES; i++) {
    struct entry *entry = &slot->entries[(place + i) % ENTRIES];
    if (load_relaxed(&entry->key) == key && !is_free(entry))
      return entry;
  }
  return NULL;
}

static struct entry *find_or_make_entry(struct address_slot *slot, uint64_t key)
{
  struct entry *entry = find_entry(slot, key);
  size_t place = find_place(slot, key);
  for (size_t i = 0; entry == NULL && i < PROBES; i++)
    if (is_free(&slot->entries[(place + i) % ENTRIES]))
      entry = &slot->entries[(place + i) % ENTRIES];
  if (entry != NULL)
    atomic_store_explicit(&entry->key, key, memory_order_relaxed);
  return entry;
}

// Adds to a number that only this process changes.
static void add_to(atomic_uint_least64_t *number, uint64_t amount)
{
  atomic_store_explicit(number, load_relaxed(number) + amount, memory_order_relaxed);
}

// ---- counts ----

// Tells whether the counts of a slot hold. The slot of a process that is gone stays until another takes it.
static bool counts_in(const struct address_counts *counts, const struct address_slot *slot)
{
  return slot == counts->own || is_alive(atomic_load(&slot->pid));
}

uint64_t address_held(const struct address_counts *counts, uint64_t key, enum address_resource resource)
{
  uint64_t held = 0;
  for (size_t i = 0; i < counts->slot_count; i++) {
    struct address_slot *slot = &counts->slots[i];
    // Most slots are free; asking the kernel after their process is avoided where they hold nothing of the key.
    const struct entry *entry = atomic_load(&slot->pid) == 0 ? NULL : find_entry(slot, key);
    if (entry != NULL && counts_in(counts, slot))
      held += load_relaxed(&entry->held[resource]);
  }
  return held;
}

uint64_t address_held_by_all(const struct address_counts *counts, enum address_resource resource)
{
  uint64_t held = 0;
  for (size_t i = 0; i < counts->slot_count; i++) {
    const struct address_slot *slot = &counts->slots[i];
    uint64_t of_slot = atomic_load(&slot->pid) == 0 ? 0 : load_relaxed(&slot->held_by_all[resource]);
    if (of_slot != 0 && counts_in(counts, slot))
      held += of_slot;
  }
  return held;
}

bool address_take(struct address_counts *counts, uint64_t key, enum address_resource resource, uint64_t amount)
{
  struct entry *entry = counts->own == NULL ? NULL : find_or_make_entry(counts->own, key);
  if (entry == NULL)
    return false;
  add_to(&entry->held[resource], amount);
  add_to(&counts->own->held_by_all[resource], amount);
  return true;
}

void address_give_back(struct address_counts *counts, uint64_t key, enum address_resource resource, uint64_t amount)
{
  if (counts->own == NULL)
    return;
  struct entry *entry = find_entry(counts->own, key);
  CHECK(entry != NULL && load_relaxed(&entry->held[resource]) >= amount);
  add_to(&entry->held[resource], -amount);
  add_to(&counts->own->held_by_all[resource], -amount);
}
