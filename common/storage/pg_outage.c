// Tells the operator that PostgreSQL cannot be reached: one warning for all connections of a pg, repeated while it
// lasts, and one line when it is reached again. Tells a task why PostgreSQL has failed it.
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/storage/pg_internal.h"

enum {
  WARN_EVERY_MS = 30000,
  // A failure beside open connections is told when it has lasted so long. A server that shuts down refuses new
  // connections before it closes the open ones, and that is told better by the next failure.
  PART_LASTS_MS = 1000,
};

static bool is_due(const struct pg_outage *outage, bool is_connected, uint64_t now_us)
{
  if (is_connected && now_us < deadline_after_ms(outage->began_us, PART_LASTS_MS))
    return false;
  bool has_become_worse = !is_connected && outage->told == PG_OUTAGE_IN_PART;
  return has_become_worse || now_us >= outage->next_us;
}

bool pg_outage_count_failure(struct pg_outage *outage, bool is_connected, uint64_t now_us)
{
  if (outage->failures++ == 0)
    outage->began_us = now_us;
  if (!is_due(outage, is_connected, now_us))
    return false;
  outage->next_us = deadline_after_ms(now_us, WARN_EVERY_MS);
  outage->told = is_connected ? PG_OUTAGE_IN_PART : PG_OUTAGE_WHOLE;
  return true;
}

bool pg_outage_end(struct pg_outage *outage, bool was_connected)
{
  bool was_told = outage->told != PG_OUTAGE_UNTOLD;
  *outage = (struct pg_outage){.next_us = was_connected ? outage->next_us : 0};
  return was_told;
}

void pg_outage_note_failure(struct pg *pg, struct slice reason)
{
  struct pg_outage *outage = &pg->outage;
  uint64_t now_us = clock_now_us();
  bool is_connected = pg_is_connected(pg);
  enum log_level level = pg_outage_count_failure(outage, is_connected, now_us) ? LOG_WARN : LOG_DEBUG;
  const char *message =
      is_connected
          ? "cannot open another connection to PostgreSQL, will try again; what needs it waits; see whether the server "
            "takes as many connections as PG_POOL_SIZE and the other settings ask for"
          : "cannot reach PostgreSQL, will try again; until then this instance refuses what needs "
            "PostgreSQL; see whether the server runs and what PG_CONNINFO says";
  LOG_AT(level, "postgres", message, LOG_SLICE("reason", reason), LOG_INT("failures", outage->failures),
         LOG_INT("outageMs", (now_us - outage->began_us) / 1000));
}

void pg_outage_note_success(struct pg *pg, bool was_connected)
{
  struct pg_outage ended = pg->outage;
  if (pg_outage_end(&pg->outage, was_connected))
    log_info("postgres", "connected to PostgreSQL again", LOG_INT("failures", ended.failures),
             LOG_INT("outageMs", (clock_now_us() - ended.began_us) / 1000));
}

static const char *find_cause(const struct pg *pg, enum status status)
{
  if (status == STATUS_DEADLINE_EXCEEDED)
    return "PostgreSQL has not done it in time: it is slow, much waits before it, or something is locked";
  if (status == STATUS_RESOURCE_EXHAUSTED && task_found_unwanted())
    return "too many bytes of replies to its caller wait to be read";
  if (status == STATUS_RESOURCE_EXHAUSTED)
    return "too much waits for PostgreSQL to begin it in time";
  if (status != STATUS_UNAVAILABLE)
    return NULL;
  if (!pg_is_connected(pg))
    return "PostgreSQL cannot be reached";
  return pg_ready(pg) ? "the connection to PostgreSQL broke, or it takes no changes" : "PostgreSQL does not answer";
}

enum status pg_note_cause(const struct pg *pg, const char *what, enum status status)
{
  task_note_cause((struct task_cause){status, find_cause(pg, status), what});
  return status;
}
