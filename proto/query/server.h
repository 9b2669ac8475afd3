// A private PostgreSQL for the time of a build: a fresh cluster below /tmp, on a Unix socket only, gone at the end. As
// root it runs as the user postgres, because PostgreSQL refuses root.
#ifndef BULKHEAD_QUERY_SERVER_H
#define BULKHEAD_QUERY_SERVER_H

#include <sys/types.h>

#include "proto/query/model.h"

struct server {
  struct arena *arena;
  char folder[64];  // empty: not started
  const char *programs;
  uid_t user;  // that PostgreSQL runs as; 0: the caller
  gid_t group;
  pid_t pid;  // 0: not started
};

// Starts it at the first call, then applies the service's migrations as the service itself does: as its role, in its
// schema.
enum status server_open(struct server *server, const struct service_source *service, struct error *error) MUST_CHECK;
// The connection string of the service's role.
const char *server_conninfo(const struct server *server, const char *service);
// Ends it and removes its files. A server that was never started is fine.
void server_stop(struct server *server);

#endif
