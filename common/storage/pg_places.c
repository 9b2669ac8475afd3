// The hosts of a connection string. libpq can go through a list of them, but without blocking it cannot leave one that
// swallows what is sent to it, and it resolves names on the loop's thread. So each attempt to connect has one place of
// the list only, with the addresses of its name, which was resolved beforehand.
//
// All connections share a turn, which says where the next attempt goes. A place that fails moves it on, so that the
// others are spared what the first has waited for. A place that works keeps it.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/storage/pg_internal.h"

static size_t count_elements(const char *list)
{
  size_t count = 1;
  for (; *list != '\0'; list++)
    count += *list == ',';
  return count;
}

// Returns an element of a list; the only one where the list has one.
static struct slice find_element(const char *list, size_t index)
{
  struct slice rest = slice_from_string(list);
  size_t end = slice_find(rest, ',', 0);
  for (; index > 0 && end < rest.size; index--) {
    rest = slice_skip(rest, end + 1);
    end = slice_find(rest, ',', 0);
  }
  return slice_make(rest.data, end);
}

static struct pg_place make_place(const char *hosts, const char *addresses, const char *ports, size_t index)
{
  return (struct pg_place){.host = memory_copy_text(find_element(hosts, index)),
                           .address = memory_copy_text(find_element(addresses, index)),
                           .port = memory_copy_text(find_element(ports, index))};
}

static bool fits(const char *list, size_t count)
{
  return *list == '\0' || count_elements(list) == count;
}

// Lists that do not fit together, and the hosts that a service file names, are left to libpq. So is an empty host in a
// list, which means the default of libpq.
static bool is_left_to_libpq(const struct pg *pg, const char *hosts, const char *addresses, const char *ports)
{
  size_t count = count_elements(*hosts == '\0' ? addresses : hosts);
  if (pg_conninfo_value(pg, "service", "PGSERVICE")[0] != '\0' || !fits(hosts, count) || !fits(addresses, count) ||
      (!fits(ports, count) && count_elements(ports) > 1))
    return true;
  for (size_t i = 0; i < count; i++)
    if (find_element(hosts, i).size == 0 && find_element(addresses, i).size == 0)
      return true;
  return false;
}

void pg_places_init(struct pg *pg)
{
  const char *hosts = pg_conninfo_value(pg, "host", "PGHOST");
  const char *addresses = pg_conninfo_value(pg, "hostaddr", "PGHOSTADDR");
  const char *ports = pg_conninfo_value(pg, "port", "PGPORT");
  if (is_left_to_libpq(pg, hosts, addresses, ports))
    return;
  pg->place_count = count_elements(*hosts == '\0' ? addresses : hosts);
  pg->places = calloc(pg->place_count, sizeof(*pg->places));
  CHECK(pg->places != NULL);
  for (size_t i = 0; i < pg->place_count; i++)
    pg->places[i] = make_place(hosts, addresses, ports, i);
  // A service writes, so a stand-by is of no use to it.
  if (pg->place_count > 1 && pg_conninfo_value(pg, "target_session_attrs", "PGTARGETSESSIONATTRS")[0] == '\0')
    pg_conninfo_set(pg, "target_session_attrs", "read-write");
}

void pg_places_free(struct pg *pg)
{
  for (size_t i = 0; i < pg->place_count; i++) {
    free(pg->places[i].host);
    free(pg->places[i].address);
    free(pg->places[i].port);
  }
  free(pg->places);
  pg->places = NULL;
  pg->place_count = 0;
}

const char *pg_places_name(const struct pg *pg, size_t turn)
{
  if (pg->place_count == 0)
    return NULL;
  const struct pg_place *place = &pg->places[turn % pg->place_count];
  return place->address[0] == '\0' && host_is_name(place->host) ? place->host : NULL;
}

// libpq connects to the addresses in `hostaddr`, and verifies the server's certificate against the names in `host`.
// Both lists must have the same length (libpq 15, "Specifying Multiple Hosts"); a single port holds for all.
static void set_addresses(struct pg *pg, const char *name, const struct address_list *found, size_t first)
{
  struct strbuf hosts;
  struct strbuf addresses;
  strbuf_init(&hosts, 0);
  strbuf_init(&addresses, 0);
  for (size_t i = 0; i < found->count; i++) {
    const char *comma = i == 0 ? "" : ",";
    strbuf_printf(&hosts, "%s%s", comma, name);
    strbuf_printf(&addresses, "%s%s", comma, found->texts[(first + i) % found->count]);
  }
  pg_conninfo_set(pg, "host", strbuf_cstring(&hosts));
  pg_conninfo_set(pg, "hostaddr", strbuf_cstring(&addresses));
  strbuf_free(&hosts);
  strbuf_free(&addresses);
}

void pg_places_aim(struct pg *pg, size_t turn, const struct address_list *found)
{
  if (pg->place_count == 0)
    return;
  const struct pg_place *place = &pg->places[turn % pg->place_count];
  pg_conninfo_set(pg, "host", place->host);
  pg_conninfo_set(pg, "hostaddr", place->address);
  pg_conninfo_set(pg, "port", place->port);
  if (found != NULL)
    set_addresses(pg, place->host, found, turn / pg->place_count);
}

bool pg_places_are_same(const struct pg *pg, size_t turn, size_t other_turn)
{
  return pg->place_count < 2 || turn % pg->place_count == other_turn % pg->place_count;
}

void pg_places_fail(struct pg *pg, size_t turn)
{
  if (pg->turn == turn)
    pg->turn++;
}

bool pg_places_has_more(const struct pg *pg, unsigned failures)
{
  return pg->place_count > 1 && failures % pg->place_count != 0;
}
