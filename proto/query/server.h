// A private PostgreSQL for the time of a build: a fresh cluster below /tmp, on a Unix socket only, gone at the end. As
// root it runs as the user postgres, because PostgreSQL refuses root.
#ifndef BULKHEAD_QUERY_SERVER_H
#define BULKHEAD_QUERY_SERVER_H

#include <sys/types.h>

#include "proto/query/model.h"

struct server {
  struct arena *arena;
  char folder[64];  // its data, socket and log; empty before the start
  const char *programs;
  uid_t user;  // the user that PostgreSQL runs as; 0 for the caller
  gid_t group;
  pid_t pid;  // of the server; 0 while it does not run
};

// Starts the server at the first call, then applies the service's migrations as the service itself does: as its role,
// in its schema.
enum status server_open(struct server *server, const struct service_source *service, struct error *error) MUST_CHECK;
// Returns the connection string of the service's role. It lives in the server's arena.
const char *server_conninfo(const struct server *server, const char *service);
// Stops the server and removes its files. Accepts a server that was never started.
void server_stop(struct server *server);

#endif
