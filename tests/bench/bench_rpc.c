// Calls per second of common/rpc beside nng's own REQ/REP, in one run: each a client and a server process over TCP on
// the loopback, 64 calls outstanding, 128 bytes each way. With a folder that deploy/tls/certificates has made for the
// name "bench", common/rpc over mutual TLS, too. And the bytes per second of one stream of 64 KiB messages beside those
// of nng's PUSH/PULL.
//
//   bench_rpc [seconds for each, default 3] [folder]
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "tests/bench/bare_channel.h"

#define OUTSTANDING 64
#define PAYLOAD_BYTES 128
#define MESSAGE_BYTES 65536
#define WARM_UP_US 300000
#define ROUNDS 3

static struct rpc_tls certificates;
static const struct rpc_tls no_certificates;

// ---- server processes; forked before nng starts its threads ----

struct child {
  pid_t pid;
  int port;
};

static void tell_port(int fd, int port)
{
  CHECK(write(fd, &port, sizeof(port)) == sizeof(port));
  close(fd);
}

static struct child start_child(void (*serve)(int fd))
{
  int fds[2];
  struct child child;
  CHECK(pipe(fds) == 0);
  child.pid = fork();
  CHECK(child.pid >= 0);
  if (child.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(fds[0]);
    serve(fds[1]);
    _exit(0);
  }
  close(fds[1]);
  CHECK(read(fds[0], &child.port, sizeof(child.port)) == sizeof(child.port));
  close(fds[0]);
  return child;
}

static const char message_bytes[MESSAGE_BYTES];

static void write_messages(void *arg, struct rpc_request *request)
{
  (void)arg;
  while (rpc_request_may_write(request))
    CHECK(rpc_request_write(request, slice_make(message_bytes, MESSAGE_BYTES)));
}

static void refuse_message(void *arg, struct rpc_request *request, struct slice message)
{
  (void)arg;
  (void)request;
  (void)message;
  CHECK(false);
}

static void ignore_half_close(void *arg, struct rpc_request *request)
{
  (void)arg;
  (void)request;
}

static void end_stream(void *arg, struct rpc_request *request)
{
  (void)arg;
  if (rpc_request_is_stream(request))
    rpc_request_reply(request, NULL, (struct slice){0});
}

static void echo(void *arg, struct rpc_request *request)
{
  if (rpc_request_is_stream(request))
    write_messages(arg, request);
  else
    rpc_request_reply(request, NULL, rpc_request_payload(request));
}

static void serve(int fd, const char *url, const struct rpc_tls *tls)
{
  struct rpc_server *server;
  struct error error;
  struct rpc_server_options options = {.listen_url = url,
                                       .tls = *tls,
                                       .on_request = echo,
                                       .on_cancel = end_stream,
                                       .on_message = refuse_message,
                                       .on_half_close = ignore_half_close,
                                       .on_writable = write_messages};
  CHECK(rpc_server_create(&options, &server, &error) == STATUS_OK);
  tell_port(fd, rpc_server_port(server));
  struct pollfd poll_fd = {.fd = rpc_server_fd(server), .events = POLLIN};
  for (;;) {
    poll(&poll_fd, 1, -1);
    rpc_server_process(server, clock_now_us());
    rpc_server_flush(server);
  }
}

static void serve_rpc(int fd)
{
  serve(fd, "tcp://127.0.0.1:0", &no_certificates);
}

static void serve_tls(int fd)
{
  serve(fd, "tls+tcp://127.0.0.1:0", &certificates);
}

static nng_msg *make_message(void)
{
  nng_msg *message;
  CHECK(nng_msg_alloc(&message, MESSAGE_BYTES) == 0);
  memcpy(nng_msg_body(message), message_bytes, MESSAGE_BYTES);
  return message;
}

static void serve_push(int fd)
{
  nng_socket socket;
  nng_listener listener;
  int port;
  CHECK(nng_push0_open(&socket) == 0);
  CHECK(nng_listen(socket, "tcp://127.0.0.1:0", &listener, 0) == 0);
  CHECK(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0);
  tell_port(fd, port);
  for (;;)
    CHECK(nng_sendmsg(socket, make_message(), 0) == 0);
}

static void serve_bare(int fd)
{
  bare_serve(tell_port, fd);
}

struct context {
  nng_ctx ctx;
  nng_aio *aio;
  bool sending;
};

static void serve_context(void *arg)
{
  struct context *context = arg;
  if (nng_aio_result(context->aio) != 0)
    return;
  context->sending = !context->sending;
  // Sends back what has come in: the message stays in the aio.
  if (context->sending)
    nng_ctx_send(context->ctx, context->aio);
  else
    nng_ctx_recv(context->ctx, context->aio);
}

static void serve_nng(int fd)
{
  static struct context contexts[OUTSTANDING];
  nng_socket socket;
  nng_listener listener;
  int port;
  CHECK(nng_rep0_open(&socket) == 0);
  CHECK(nng_listen(socket, "tcp://127.0.0.1:0", &listener, 0) == 0);
  CHECK(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0);
  for (size_t i = 0; i < OUTSTANDING; i++) {
    CHECK(nng_ctx_open(&contexts[i].ctx, socket) == 0);
    CHECK(nng_aio_alloc(&contexts[i].aio, serve_context, &contexts[i]) == 0);
    nng_ctx_recv(contexts[i].ctx, contexts[i].aio);
  }
  tell_port(fd, port);
  for (;;)
    pause();
}

// ---- clients ----

struct rpc_bench {
  struct rpc_client *client;
  uint64_t calls;
  uint64_t end_us;
};

static const char payload[PAYLOAD_BYTES];

static void next_call(void *arg, const struct rpc_status *status, struct slice answer)
{
  struct rpc_bench *bench = arg;
  if (status != NULL) {
    if (status->code == STATUS_CANCELLED)
      return;
    CHECK(status->code == STATUS_OK && answer.size == PAYLOAD_BYTES);
    bench->calls++;
  }
  struct rpc_call_options options = {.service = "bench",
                                     .method = SLICE("bench.v1.Bench/Echo"),
                                     .payload = {.data = payload, .size = sizeof(payload)},
                                     .deadline_us = bench->end_us + 60 * UINT64_C(1000000),
                                     .keeps_request = true};
  rpc_client_call(bench->client, &options, next_call, bench);
}

static void turn_until(struct rpc_client *client, uint64_t end_us)
{
  struct pollfd poll_fd = {.fd = rpc_client_fd(client), .events = POLLIN};
  while (clock_now_us() < end_us) {
    poll(&poll_fd, 1, 10);
    rpc_client_process(client, clock_now_us());
    rpc_client_flush(client);
  }
}

static double measure_rpc(int port, const struct rpc_tls *tls, size_t in_flight, double seconds)
{
  char url[64];
  snprintf(url, sizeof(url), "%s://127.0.0.1:%d", tls->ca_file == NULL ? "tcp" : "tls+tcp", port);
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  struct rpc_bench bench = {.client = rpc_client_create(&(struct rpc_client_options){.tls = *tls})};
  rpc_client_set_endpoints(bench.client, "bench", &endpoint, 1);
  bench.end_us = clock_now_us() + (uint64_t)(seconds * 1e6) + WARM_UP_US;
  for (size_t i = 0; i < in_flight; i++)
    next_call(&bench, NULL, (struct slice){0});
  turn_until(bench.client, clock_now_us() + WARM_UP_US);
  uint64_t calls = bench.calls, begin_us = clock_now_us();
  turn_until(bench.client, bench.end_us);
  double rate = (double)(bench.calls - calls) * 1e6 / (double)(clock_now_us() - begin_us);
  rpc_client_free(&bench.client);
  return rate;
}

static atomic_ulong nng_calls;
static atomic_bool nng_stopping;

static void begin_request(struct context *context)
{
  nng_msg *message;
  CHECK(nng_msg_alloc(&message, PAYLOAD_BYTES) == 0);
  memcpy(nng_msg_body(message), payload, PAYLOAD_BYTES);
  nng_aio_set_msg(context->aio, message);
  context->sending = true;
  nng_ctx_send(context->ctx, context->aio);
}

static void ask_context(void *arg)
{
  struct context *context = arg;
  if (nng_aio_result(context->aio) != 0)
    return;
  if (context->sending) {
    context->sending = false;
    nng_ctx_recv(context->ctx, context->aio);
    return;
  }
  atomic_fetch_add_explicit(&nng_calls, 1, memory_order_relaxed);
  nng_msg_free(nng_aio_get_msg(context->aio));
  if (!atomic_load_explicit(&nng_stopping, memory_order_relaxed))
    begin_request(context);
}

static double measure_nng(int port, double seconds)
{
  static struct context contexts[OUTSTANDING];
  nng_socket socket;
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  CHECK(nng_req0_open(&socket) == 0);
  CHECK(nng_dial(socket, url, NULL, 0) == 0);
  for (size_t i = 0; i < OUTSTANDING; i++) {
    CHECK(nng_ctx_open(&contexts[i].ctx, socket) == 0);
    CHECK(nng_aio_alloc(&contexts[i].aio, ask_context, &contexts[i]) == 0);
    begin_request(&contexts[i]);
  }
  usleep(WARM_UP_US);
  unsigned long calls = atomic_load(&nng_calls);
  uint64_t begin_us = clock_now_us();
  usleep((useconds_t)(seconds * 1e6));
  double rate = (double)(atomic_load(&nng_calls) - calls) * 1e6 / (double)(clock_now_us() - begin_us);
  // The client is quiet now, but not closed, because nng_close may hang while messages come in (CLOSE HANGS in
  // common/rpc/nng_compat_internal.h).
  atomic_store(&nng_stopping, true);
  return rate;
}

// ---- the rounds ----

static void end_child(const struct child *child)
{
  kill(child->pid, SIGKILL);
  waitpid(child->pid, NULL, 0);
}

static void keep_highest(double *so_far, double rate)
{
  if (rate > *so_far)
    *so_far = rate;
}

static void keep_lowest(double *so_far, double value)
{
  if (value < *so_far)
    *so_far = value;
}

// ---- streams ----

struct stream_bench {
  struct rpc_call *call;
  uint64_t bytes;
};

static void count_message(void *arg, struct slice message)
{
  struct stream_bench *bench = arg;
  bench->bytes += message.size;
  rpc_call_take_messages(bench->call, 1, message.size);
}

static void ignore_end(void *arg, const struct rpc_status *status, struct slice reply)
{
  (void)arg;
  (void)reply;
  CHECK(status->code == STATUS_CANCELLED);
}

// Returns the bytes per second of one stream.
static double measure_stream(int port, double seconds)
{
  static const struct rpc_stream_events events = {.on_message = count_message};
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){0});
  struct stream_bench bench = {0};
  rpc_client_set_endpoints(client, "bench", &endpoint, 1);
  struct rpc_call_options options = {.service = "bench",
                                     .method = SLICE("bench.v1.Bench/Stream"),
                                     .deadline_us = clock_now_us() + 600 * UINT64_C(1000000),
                                     .stream = &events};
  bench.call = rpc_client_call(client, &options, ignore_end, &bench);
  turn_until(client, clock_now_us() + WARM_UP_US);
  uint64_t bytes = bench.bytes, begin_us = clock_now_us();
  turn_until(client, begin_us + (uint64_t)(seconds * 1e6));
  double rate = (double)(bench.bytes - bytes) * 1e6 / (double)(clock_now_us() - begin_us);
  rpc_client_free(&client);
  return rate;
}

static nng_socket open_pull(int port)
{
  nng_socket socket;
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  CHECK(nng_pull0_open(&socket) == 0);
  CHECK(nng_dial(socket, url, NULL, 0) == 0);
  return socket;
}

// Between its measurements the socket stays open, and its server waits until it reads again.
static double measure_pull(nng_socket socket, double seconds)
{
  nng_msg *message;
  uint64_t bytes = 0;
  uint64_t warm_us = clock_now_us() + WARM_UP_US, end_us = warm_us + (uint64_t)(seconds * 1e6);
  for (uint64_t now_us = 0; now_us < end_us; now_us = clock_now_us()) {
    CHECK(nng_recvmsg(socket, &message, 0) == 0);
    bytes += now_us < warm_us ? 0 : nng_msg_len(message);
    nng_msg_free(message);
  }
  return (double)bytes / seconds;
}

static void compare_streams(int rpc_port, int push_port, double seconds)
{
  double rpc = 0, nng = 0;
  nng_socket pull = open_pull(push_port);
  for (int i = 0; i < ROUNDS; i++) {
    keep_highest(&rpc, measure_stream(rpc_port, seconds / ROUNDS));
    keep_highest(&nng, measure_pull(pull, seconds / ROUNDS));
  }
  printf("nng PUSH/PULL, 64 KiB     %9.0f MB/s\n", nng / 1e6);
  printf("one stream, 64 KiB        %9.0f MB/s\n", rpc / 1e6);
}

// ---- the run ----

// Returns the CPU time of this process and a child, in seconds.
static double read_cpu_s(pid_t child)
{
  struct timespec own, other;
  clockid_t clock;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) == 0);
  CHECK(clock_getcpuclockid(child, &clock) == 0 && clock_gettime(clock, &other) == 0);
  return (double)(own.tv_sec + other.tv_sec) + (double)(own.tv_nsec + other.tv_nsec) / 1e9;
}

// Measures a bare channel and common/rpc in turns. The CPU time is that of both processes, warming up included.
static void compare_bare(const struct child *bare_child, const struct child *rpc_child, double seconds)
{
  double bare = 0, rpc = 0, bare_cpu = 1, rpc_cpu = 1;
  double all_s = seconds / ROUNDS + WARM_UP_US / 1e6;
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t from_us = clock_now_us() + WARM_UP_US, us = (uint64_t)(seconds * 1e6) / ROUNDS;
    struct slice bytes = {.data = payload, .size = sizeof(payload)};
    double cpu_s = read_cpu_s(bare_child->pid);
    double rate = (double)bare_call(bare_child->port, bytes, OUTSTANDING, from_us, from_us + us) * 1e6 / (double)us;
    keep_highest(&bare, rate);
    keep_lowest(&bare_cpu, (read_cpu_s(bare_child->pid) - cpu_s) / (rate * all_s));
    cpu_s = read_cpu_s(rpc_child->pid);
    rate = measure_rpc(rpc_child->port, &no_certificates, OUTSTANDING, seconds / ROUNDS);
    keep_highest(&rpc, rate);
    keep_lowest(&rpc_cpu, (read_cpu_s(rpc_child->pid) - cpu_s) / (rate * all_s));
  }
  printf("a bare channel, in turns  %9.0f calls/s\n", bare);
  printf("common/rpc, in turns      %9.0f calls/s\n", rpc);
  printf("a bare channel, CPU       %9.2f us a call\n", bare_cpu * 1e6);
  printf("common/rpc, CPU           %9.2f us a call\n", rpc_cpu * 1e6);
}

// Measures with TLS and without in turns, because the speed of a machine that others share changes within seconds.
static void compare_tls(int plain_port, int tls_port, double seconds)
{
  double plain = 0, tls = 0, plain_lone = 0, tls_lone = 0;
  for (int i = 0; i < ROUNDS; i++) {
    keep_highest(&plain, measure_rpc(plain_port, &no_certificates, OUTSTANDING, seconds / ROUNDS));
    keep_highest(&tls, measure_rpc(tls_port, &certificates, OUTSTANDING, seconds / ROUNDS));
    keep_highest(&plain_lone, measure_rpc(plain_port, &no_certificates, 1, seconds / ROUNDS));
    keep_highest(&tls_lone, measure_rpc(tls_port, &certificates, 1, seconds / ROUNDS));
  }
  printf("without TLS, in turns     %9.0f calls/s\n", plain);
  printf("with TLS, in turns        %9.0f calls/s\n", tls);
  printf("without TLS, one call     %9.1f us\n", 1e6 / plain_lone);
  printf("with TLS, one call        %9.1f us\n", 1e6 / tls_lone);
}

int main(int argc, char **argv)
{
  double seconds = argc > 1 ? strtod(argv[1], NULL) : 3;
  char ca_file[512], cert_key_file[512];
  log_init("bench", LOG_WARN);
  if (argc > 2) {
    snprintf(ca_file, sizeof(ca_file), "%s/bench/ca.pem", argv[2]);
    snprintf(cert_key_file, sizeof(cert_key_file), "%s/bench/own.pem", argv[2]);
    certificates = (struct rpc_tls){.ca_file = ca_file, .cert_key_file = cert_key_file};
  }
  struct child nng_child = start_child(serve_nng);
  struct child rpc_child = start_child(serve_rpc);
  struct child bare_child = start_child(serve_bare);
  struct child push_child = start_child(serve_push);
  struct child tls_child = {0};
  if (argc > 2)
    tls_child = start_child(serve_tls);
  double nng_rate = measure_nng(nng_child.port, seconds);
  double rpc_rate = measure_rpc(rpc_child.port, &no_certificates, OUTSTANDING, seconds);
  printf("nng REQ/REP, %d contexts  %9.0f calls/s\n", OUTSTANDING, nng_rate);
  printf("common/rpc, %d in flight  %9.0f calls/s\n", OUTSTANDING, rpc_rate);
  printf("ratio                     %9.2f\n", rpc_rate / nng_rate);
  if (argc > 2) {
    compare_tls(rpc_child.port, tls_child.port, seconds);
    end_child(&tls_child);
  }
  compare_bare(&bare_child, &rpc_child, seconds);
  compare_streams(rpc_child.port, push_child.port, seconds);
  end_child(&bare_child);
  end_child(&push_child);
  end_child(&nng_child);
  end_child(&rpc_child);
  return 0;
}
