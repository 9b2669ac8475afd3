// Controls the stack that a test runs against: its processes, its database.
#ifndef BULKHEAD_TESTS_SUPPORT_STACK_H
#define BULKHEAD_TESTS_SUPPORT_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "tests/support/http.h"

// Runs "deploy/local/stack ACTION NAME": stop, start, restart or kill. Asserts that it succeeds.
void stack(const char *action, const char *name);

// Returns the folder of the stack's own programs, beside which are those that the Makefile links for tests.
const char *stack_programs(void);
// Restarts both instances of item from the programs in the folder `out`, and waits until all are healthy.
void stack_restart_items_from(const char *out);

// Sends a signal to a process of the stack, such as SIGSTOP to "redis".
void stack_signal(const char *name, int number);
// Stops PostgreSQL and all of its sessions, which keep their connections, and waits until every service has noticed.
void freeze_postgres(void);
// Lets it go on; does nothing where it runs. Does not wait.
void thaw_postgres(void);

// Runs a program and returns what it prints on standard output; asserts that it ends with 0.
const char *output_of(const char *const *arguments);

// Adds up a metric of a service's process, such as "item-1", or of the gateway ("gateway"), over all series that begin
// so: "bulkhead_rpc_server_calls_total{".
double metric_sum(const char *process, const char *series);

// Asks the stack's Consul with the token that may read everything.
struct http_reply consul_get(const char *path);
// Reads one of the stack's secrets: secrets/NAME of its folder.
const char *secret_of_stack(const char *name);

// Returns how long the log of a process of the stack is: log/NAME.log of its folder; 0 where there is none.
size_t log_size(const char *name);
// Returns what has come to that log since it was `size` long.
const char *log_since(const char *name, size_t size);

// Runs one query as a superuser and returns what psql -At prints.
const char *sql(const char *format, ...) PRINTF_LIKE(1, 2);

// A superuser's session in which one transaction stays open, with the locks that `statement` has taken.
struct sql_transaction;
struct sql_transaction *sql_begin(const char *statement);
void sql_commit(struct sql_transaction *transaction);

// Waits until `holds(arg)` is true; fails the test after three minutes.
void wait_until(bool (*holds)(const void *arg), const void *arg, const char *what);
// Waits until every part of the stack passes its health check in Consul and the gateway has connected to all of them.
void wait_until_healthy(void);

// Waits until items can be changed. After an outage of PostgreSQL their instances first have to reach each other again.
void wait_until_items_change(void);

// Waits until both item services may serve what they have in memory. After a start that takes some seconds.
void wait_until_caching(void);

// Runs `body(arg)` on another thread; background_join waits for its end.
struct background;
struct background *background_start(void (*body)(void *arg), void *arg);
void background_join(struct background *background);
// Gives the calling thread only the time of the processors that nobody else wants. An attacker in the world has a
// machine of its own; here it would be measured instead of what it attacks.
void background_let_others_first(void);

#endif
