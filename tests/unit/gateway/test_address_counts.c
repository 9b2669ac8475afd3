// What client addresses hold, counted by several processes in shared memory.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/address_counts.h"

#define SLOTS 4

static void *share_memory(void)
{
  void *memory = mmap(NULL, address_counts_size(SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(memory, MAP_FAILED);
  return memory;
}

static uint64_t key_of(const char *text)
{
  struct sockaddr_in ipv4 = {.sin_family = AF_INET};
  struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
  uint64_t key = 0;
  if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
    cr_assert(address_key((const struct sockaddr *)&ipv4, &key));
  } else {
    cr_assert_eq(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
    cr_assert(address_key((const struct sockaddr *)&ipv6, &key));
  }
  return key;
}

Test(address_counts, an_ipv4_address_counts_alone_and_an_ipv6_address_with_its_64_prefix)
{
  cr_assert_eq(key_of("10.0.0.1"), key_of("10.0.0.1"));
  cr_assert_neq(key_of("10.0.0.1"), key_of("10.0.0.2"));
  cr_assert_eq(key_of("::ffff:10.0.0.9"), key_of("10.0.0.9"));
  cr_assert_neq(key_of("::ffff:10.0.0.9"), key_of("::ffff:10.0.0.8"));
  cr_assert_eq(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff:1:2:3"));
  cr_assert_neq(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1"));
  cr_assert_neq(key_of("::1"), key_of("127.0.0.1"));
}

Test(address_counts, a_unix_socket_has_no_address_to_count)
{
  struct sockaddr_un unix_socket = {.sun_family = AF_UNIX};
  uint64_t key;
  cr_assert_not(address_key((const struct sockaddr *)&unix_socket, &key));
}

Test(address_counts, what_an_address_takes_and_gives_back_is_counted)
{
  struct address_counts counts;
  cr_assert(address_counts_attach(&counts, share_memory(), SLOTS));
  uint64_t ada = key_of("10.0.0.1"), bob = key_of("10.0.0.2");
  cr_assert_eq(address_held(&counts, ada, ADDRESS_CONNECTIONS), 0);
  cr_assert(address_take(&counts, ada, ADDRESS_CONNECTIONS, 1));
  cr_assert(address_take(&counts, ada, ADDRESS_CONNECTIONS, 1));
  cr_assert(address_take(&counts, ada, ADDRESS_BODY_BYTES, 4096));
  cr_assert(address_take(&counts, bob, ADDRESS_CONNECTIONS, 1));
  cr_assert_eq(address_held(&counts, ada, ADDRESS_CONNECTIONS), 2);
  cr_assert_eq(address_held(&counts, ada, ADDRESS_BODY_BYTES), 4096);
  cr_assert_eq(address_held_by_all(&counts, ADDRESS_CONNECTIONS), 3);
  address_give_back(&counts, ada, ADDRESS_CONNECTIONS, 2);
  cr_assert_eq(address_held(&counts, ada, ADDRESS_CONNECTIONS), 0);
  cr_assert_eq(address_held(&counts, ada, ADDRESS_BODY_BYTES), 4096);
  cr_assert_eq(address_held_by_all(&counts, ADDRESS_CONNECTIONS), 1);
}

// Thousands of addresses come and go; what they leave makes room for others.
Test(address_counts, room_is_used_again)
{
  struct address_counts counts;
  cr_assert(address_counts_attach(&counts, share_memory(), SLOTS));
  for (uint64_t key = 0; key < 200000; key++) {
    cr_assert(address_take(&counts, key, ADDRESS_CONNECTIONS, 1), "%llu", (unsigned long long)key);
    if (key >= 1000)
      address_give_back(&counts, key - 1000, ADDRESS_CONNECTIONS, 1);
  }
  cr_assert_eq(address_held_by_all(&counts, ADDRESS_CONNECTIONS), 1000);
}

static void end_well(pid_t child)
{
  int status;
  cr_assert_eq(waitpid(child, &status, 0), child);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other process ended with %d", status);
}

Test(address_counts, a_limit_holds_across_processes_and_forgets_one_that_died)
{
  void *memory = share_memory();
  uint64_t ada = key_of("10.0.0.1");
  struct address_counts counts;
  cr_assert(address_counts_attach(&counts, memory, SLOTS));
  cr_assert(address_take(&counts, ada, ADDRESS_CONNECTIONS, 3));
  // The other process counts and dies without giving back.
  int told[2], over[2];
  cr_assert(pipe(told) == 0 && pipe(over) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    struct address_counts own;
    bool right = address_counts_attach(&own, memory, SLOTS) && address_take(&own, ada, ADDRESS_CONNECTIONS, 4) &&
                 address_held(&own, ada, ADDRESS_CONNECTIONS) == 7;
    right = write(told[1], &byte, 1) == 1 && read(over[0], &byte, 1) == 1 && right;
    _exit(right ? 0 : 1);
  }
  char byte = 0;
  cr_assert_eq(read(told[0], &byte, 1), 1);
  cr_assert_eq(address_held(&counts, ada, ADDRESS_CONNECTIONS), 7);
  cr_assert_eq(address_held_by_all(&counts, ADDRESS_CONNECTIONS), 7);
  cr_assert_eq(write(over[1], &byte, 1), 1);
  end_well(child);
  cr_assert_eq(address_held(&counts, ada, ADDRESS_CONNECTIONS), 3);
  cr_assert_eq(address_held_by_all(&counts, ADDRESS_CONNECTIONS), 3);
}

Test(address_counts, the_slot_of_a_process_that_died_is_taken_empty)
{
  void *memory = share_memory();
  uint64_t ada = key_of("10.0.0.1");
  for (int i = 0; i < 3 * SLOTS; i++) {
    pid_t child = fork();
    if (child == 0) {
      struct address_counts own;
      bool right = address_counts_attach(&own, memory, SLOTS) && address_held(&own, ada, ADDRESS_CONNECTIONS) == 0 &&
                   address_held_by_all(&own, ADDRESS_CONNECTIONS) == 0 &&
                   address_take(&own, ada, ADDRESS_CONNECTIONS, 5);
      _exit(right ? 0 : 1);
    }
    end_well(child);
  }
}

Test(address_counts, without_a_free_slot_nothing_is_counted)
{
  void *memory = share_memory();
  struct address_counts counts[SLOTS], more;
  for (size_t i = 0; i < SLOTS; i++)
    cr_assert(address_counts_attach(&counts[i], memory, SLOTS));
  cr_assert_not(address_counts_attach(&more, memory, SLOTS));
  cr_assert_not(address_take(&more, key_of("10.0.0.1"), ADDRESS_CONNECTIONS, 1));
  address_counts_detach(&counts[0]);
  cr_assert(address_counts_attach(&more, memory, SLOTS));
  cr_assert(address_take(&more, key_of("10.0.0.1"), ADDRESS_CONNECTIONS, 1));
}
