// Large replies take turns: to translate or compress megabytes at once would hold up all other clients of the worker
// for tens of milliseconds, and a few hundred smaller replies do the same.
//
// In one turn of the loop the replies that wait get TURN_US together, a piece of each after the other, so one of few
// pieces ends before larger ones that have come earlier. What is left waits for the next turns. Whatever else the
// worker has to do, such as to pass on or refuse a request, waits no longer than that and two pieces: one that the time
// ends within, and one of a very large reply.
//
// Very large replies wait behind the others. While the worker answers other requests, too, they pause after each turn
// (gateway/pacing.h).
#include "gateway/nginx/module.h"

#include "common/base/clock.h"

#define TURN_US 300
#define GUARD_MS 60000

// The worker's replies that wait for their turn.
static struct {
  ngx_queue_t waiting;             // in the order of their turns
  ngx_queue_t very_large;          // the same for very large replies
  ngx_event_t turn;                // posted for the next turn of the loop while replies wait
  ngx_event_t pause;               // its timer is set while very large replies pause
  uint64_t spent_us;               // on replies in this turn of the loop
  uint64_t other_us;               // when a reply was sent last for which very large ones pause
  ngx_connection_t no_connection;  // nginx's debug log reads an fd behind every timer
} worker_turns;

static void on_turn(ngx_event_t *event);
static void on_pause_end(ngx_event_t *event);

void turns_start(ngx_log_t *log)
{
  ngx_queue_init(&worker_turns.waiting);
  ngx_queue_init(&worker_turns.very_large);
  worker_turns.no_connection.fd = (ngx_socket_t)-1;
  worker_turns.turn = (ngx_event_t){.handler = on_turn, .log = log};
  worker_turns.pause = (ngx_event_t){.handler = on_pause_end, .data = &worker_turns.no_connection, .log = log};
}

void turns_note_other(void)
{
  worker_turns.other_us = clock_now_us();
}

void turns_end_turn(void)
{
  worker_turns.spent_us = 0;
}

bool turns_are_free(void)
{
  return ngx_queue_empty(&worker_turns.waiting) && worker_turns.spent_us < TURN_US;
}

// ---- the queue ----

static void dequeue(struct turn *turn)
{
  // The macro is two statements.
  if (turn->is_waiting) {
    ngx_queue_remove(&turn->link);
  }
  turn->is_waiting = false;
}

static void post_turn(void)
{
  // The macro is more than one statement.
  if (!ngx_queue_empty(&worker_turns.waiting) ||
      (!ngx_queue_empty(&worker_turns.very_large) && !worker_turns.pause.timer_set)) {
    ngx_post_event(&worker_turns.turn, &ngx_posted_next_events);
  }
}

static void on_pause_end(ngx_event_t *event)
{
  (void)event;
  post_turn();
}

static void enqueue(struct turn *turn)
{
  turn->is_waiting = true;
  ngx_queue_insert_tail(turn->is_very_large ? &worker_turns.very_large : &worker_turns.waiting, &turn->link);
  post_turn();
}

static void end_turns(struct turn *turn)
{
  dequeue(turn);
  if (turn->guard.timer_set)
    ngx_del_timer(&turn->guard);
}

static void on_request_end(void *data)
{
  end_turns(data);
}

// A worker that shuts down waits for timers, and not for what is posted.
static void on_guard(ngx_event_t *event)
{
  ngx_add_timer(event, GUARD_MS);
}

bool turns_wait(ngx_http_request_t *r, struct turn *turn)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
  if (cleanup == NULL)
    return false;
  cleanup->handler = on_request_end;
  cleanup->data = turn;
  turn->r = r;
  turn->guard = (ngx_event_t){.handler = on_guard, .data = turn, .log = r->connection->log};
  ngx_add_timer(&turn->guard, GUARD_MS);
  enqueue(turn);
  return true;
}

// ---- turns ----

ngx_int_t turns_run(struct turn *turn)
{
  uint64_t before_us = clock_now_us();
  ngx_int_t rc = turn->run(turn);
  worker_turns.spent_us += clock_now_us() - before_us;
  return rc;
}

static void run_first(ngx_queue_t *queue)
{
  struct turn *turn = ngx_queue_data(ngx_queue_head(queue), struct turn, link);
  // The turn may be gone with its request after its end.
  ngx_connection_t *connection = turn->r->connection;
  ngx_http_set_log_request(connection->log, turn->r);
  dequeue(turn);
  ngx_int_t rc = turns_run(turn);
  if (rc == NGX_DONE) {
    enqueue(turn);
  } else {
    end_turns(turn);
    turn->end(turn, rc);
  }
  ngx_http_run_posted_requests(connection);
}

static void run_waiting(ngx_queue_t *queue)
{
  while (!ngx_queue_empty(queue) && worker_turns.spent_us < TURN_US)
    run_first(queue);
}

// Gives very large replies a turn unless they pause: one piece at least, whatever time the other replies have taken.
static void run_very_large(void)
{
  if (ngx_queue_empty(&worker_turns.very_large) || worker_turns.pause.timer_set)
    return;
  uint32_t pause_ms = pacing_pause_ms(clock_now_us(), worker_turns.other_us);
  if (pause_ms > 0)
    ngx_add_timer(&worker_turns.pause, pause_ms);
  run_first(&worker_turns.very_large);
  run_waiting(&worker_turns.very_large);
}

static void on_turn(ngx_event_t *event)
{
  (void)event;
  // What has come in since the last turn leaves first.
  worker_flush();
  worker_turns.spent_us = 0;
  run_waiting(&worker_turns.waiting);
  run_very_large();
  post_turn();
}
