// Watches the client of a request that waits for a service, and cancels the request of one who has gone.
//
// The end of what a client sends (FIN) does not tell whether it still reads: it may have closed only its sending side,
// or the whole connection. So an interim response is sent, which every client of HTTP/1.1 must take (RFC 9110, section
// 15.2): a client that still reads ignores it, and for one who has gone the kernel at the other end answers with a
// reset. HTTP/1.0 has no interim responses; such a client gets its answer, or nobody does. In HTTP/2 streams end by
// frames, and nginx cancels them.
#include "gateway/nginx/module.h"

static int take_socket_error(int fd)
{
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

static void cancel(ngx_http_request_t *r)
{
  r->connection->error = 1;
  ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
}

static void on_write_event(ngx_http_request_t *r)
{
  if (take_socket_error(r->connection->fd) != 0)
    cancel(r);
}

static bool send_interim_response(ngx_http_request_t *r)
{
  static u_char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
  const ssize_t size = sizeof(text) - 1;
  return r->http_version < NGX_HTTP_VERSION_11 || r->connection->send(r->connection, text, (size_t)size) == size;
}

// Reads are not watched from here on: every later event of the connection would look like another end. A reset shows
// itself as a write event, too.
//
// The flags of ngx_del_event are those of what is left: without NGX_CLEAR_EVENT, epoll would report at each turn of the
// loop that the socket can be written, and the worker would never sleep.
static bool watch_writes_only(ngx_connection_t *connection)
{
  if (!connection->write->active && ngx_add_event(connection->write, NGX_WRITE_EVENT, NGX_CLEAR_EVENT) != NGX_OK)
    return false;
  return !connection->read->active || ngx_del_event(connection->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) == NGX_OK;
}

// Goes on with a request whose client has ended what it sends. False where the client has gone.
static bool go_on_half_closed(ngx_http_request_t *r)
{
  ngx_connection_t *connection = r->connection;
  if (take_socket_error(connection->fd) != 0 || !watch_writes_only(connection))
    return false;
  connection->read->pending_eof = 0;
  r->keepalive = 0;
  r->read_event_handler = ngx_http_block_reading;
  r->write_event_handler = on_write_event;
  return send_interim_response(r);
}

static void on_read_event(ngx_http_request_t *r)
{
  if (r->stream != NULL || !r->connection->read->pending_eof)
    ngx_http_test_reading(r);
  else if (!go_on_half_closed(r))
    cancel(r);
}

void client_watch(ngx_http_request_t *r)
{
  r->read_event_handler = on_read_event;
  ngx_event_t *read = r->connection->read;
  // The end may have come together with the request. Its event is over then, so another is made.
  if (r->stream == NULL && read->pending_eof) {
    ngx_post_event(read, &ngx_posted_events);
  }
}
