# The include rules as tables. First input: all headers of the tree, one a line; second: file, line, kind, path.
# Every rule prints "file:line: message".

BEGIN {
  # Which parts of common a part may include beside itself.
  uses["base"] = ""
  uses["observe"] = "base"
  uses["config"] = "base"
  uses["runtime"] = "base observe"
  uses["contract"] = "base"
  uses["transcode"] = "base contract"
  uses["openapi"] = "base contract"
  uses["reflection"] = "base contract"
  uses["rpc"] = "base observe config security"
  uses["discovery"] = "base observe config"
  uses["security"] = "base observe config"
  uses["identity"] = "base observe config rpc security"
  uses["storage"] = "base observe config runtime"
  uses["mail"] = "base observe config runtime"
  uses["service"] = "base observe config runtime contract reflection rpc discovery security identity storage mail"
  uses["gateway"] = "base observe config contract transcode openapi reflection rpc discovery security identity"
  uses["plugin"] = "base contract"  # it compiles contracts as the gateway does
  uses["query"] = "base storage contract"  # it migrates as the services do; C's names come with the contracts
  uses["deploy"] = "base"

  # A vendor's header, as a pattern of its path, and the folder that may include it: one, but for curl, which speaks HTTP
  # to Consul and SMTP to the mail server.
  vendor["^nng/"] = "common/rpc"
  vendor["^(uv\\.h$|uv/)"] = "common/runtime"
  vendor["^curl/"] = "common/discovery common/mail"
  vendor["^(libpq-fe\\.h$|postgresql/|libpq/|pg_config)"] = "common/storage"
  vendor["^hiredis/"] = "common/storage"
  vendor["^(jwt\\.h$|fido(\\.h$|/)|openssl/|sodium|liboath/|qrencode\\.h$|zxcvbn\\.h$|uni(case|ctype|norm|str|types)\\.h$)"] = "common/security"
  vendor["^microhttpd\\.h$"] = "common/service"
  vendor["^(ngx_|nginx)"] = "gateway/nginx"
  vendor["^zlib\\.h$"] = "gateway"
  vendor["^criterion/"] = "tests"
  # protobuf-c reaches further, see may_see_protobuf().
  protobuf = "^protobuf-c/"

  # What comes with the compiler and the C library: no vendor's.
  libc = "^((assert|ctype|endian|errno|fcntl|float|grp|ifaddrs|inttypes|limits|locale|malloc|math|netdb|poll|pthread|" \
         "pwd|sched|semaphore|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|" \
         "strings|syslog|termios|time|ucontext|unistd|dirent|getopt|glob|ftw|libgen|regex|execinfo|dlfcn|emmintrin|" \
         "immintrin|nmmintrin|arm_neon)\\.h$|(sys|net|netinet|arpa|linux|sanitizer|valgrind)/)"
}

function fail(message) {
  printf "%s:%d: %s\n", file, line, message
}

# "common/rpc", "gateway", "gateway/nginx", "services/item", "tests/unit/rpc", ...: the folder that rules speak of.
function folder_of(path,    part, n) {
  n = split(path, part, "/")
  if (part[1] == "common" || part[1] == "services" || part[1] == "proto" || part[1] == "deploy")
    return part[1] "/" part[2]
  if (part[1] == "gateway")
    return n > 2 ? "gateway/" part[2] : "gateway"
  if (part[1] == "tests" && (part[2] == "unit" || part[2] == "component"))
    return "tests/" part[2] "/" part[3]
  return part[1] "/" part[2]
}

# The name under which `uses` knows a folder; "" where it is free to include any part of common.
function ring_of(folder,    part) {
  split(folder, part, "/")
  if (part[1] == "common")
    return part[2]
  if (part[1] == "gateway")
    return "gateway"
  if (folder == "proto/plugin" || folder == "proto/query")
    return folder == "proto/plugin" ? "plugin" : "query"
  if (part[1] == "deploy")
    return "deploy"
  # A part's unit tests are linked with what the part may use, so they may include no more.
  if (part[1] == "tests" && part[2] == "unit" && (part[3] in uses))
    return part[3]
  return ""
}

function may_see_protobuf(folder) {
  return folder == "common/contract" || folder == "common/service" || folder == "common/identity" || folder == "common/reflection" || folder ~ /^(services|tests)\// ||
         folder ~ /^gateway/ || folder ~ /^proto\/(plugin|query)$/
}

function is_generated(path) {
  return path ~ /\.(pb-c|bh)\.h$/
}

function is_in(folder, homes) {
  return index(" " homes " ", " " folder " ") > 0
}

# A test sees the vendors of what it tests; benches, fuzzers and shared helpers see all, for they are about them.
function may_see_vendor(folder, home) {
  if (is_in(folder, home))
    return 1
  if (home == "tests")
    return folder ~ /^tests\//
  # The compiler of queries asks PostgreSQL at build, not at run time.
  if (folder == "proto/query")
    return home == "common/storage"
  if (folder ~ /^tests\/(unit|component)\//)
    return is_in(under_test(folder), home)
  # The tools of deploy/ are clients of the suite, not parts of it.
  if (folder ~ /^deploy\//)
    return is_in("common/discovery", home)
  return folder ~ /^tests\//
}

function under_test(folder,    part) {
  split(folder, part, "/")
  return part[3] == "gateway" ? "gateway" : "common/" part[3]
}

# The pattern of `vendor` that fits; "" for none.
function vendor_of(path,    pattern) {
  for (pattern in vendor)
    if (path ~ pattern)
      return pattern
  return ""
}

function check_angle(folder,    pattern) {
  if (path ~ libc)
    return
  if (path ~ protobuf) {
    if (!may_see_protobuf(folder))
      fail("<" path "> is not for " folder)
    return
  }
  pattern = vendor_of(path)
  if (pattern == "") {
    fail("<" path "> is of no vendor that tests/lint/layers.awk knows")
    return
  }
  vendor_include[file] = path
  if (!may_see_vendor(folder, vendor[pattern]))
    fail("<" path "> is for " vendor[pattern] " only")
}

function check_generated(folder,    part, service) {
  if (!may_see_protobuf(folder))
    fail("generated code is not for " folder)
  split(path, part, "/")
  # user/v1, auth/v1, item/v1, ...: contracts of services; google and bulkhead are everybody's.
  if (part[1] == "google" || part[1] == "bulkhead" || folder !~ /^(services|gateway)/)
    return
  service = folder
  sub(/^[^\/]*\//, "", service)
  if (part[1] != service && file !~ /_peers\.[ch]$/ && file !~ /^gateway\/(upstreams|gateway)\.[ch]$/ && file !~ /^services\/[^\/]*\/main\.c$/)
    fail("the contract of " part[1] " may be included from " service "_peers.c only")
}

function check_ring(folder,    target, ring, to) {
  target = folder_of(path)
  if (target == folder)
    return
  if (path ~ /_internal\.h$/ && folder !~ /^tests\//) {
    fail("\"" path "\" is for " target " only")
    return
  }
  ring = ring_of(folder)
  split(target, to, "/")
  if (to[1] == "common") {
    if (ring != "" && to[2] != ring && index(" " uses[ring] " ", " " to[2] " ") == 0)
      fail(folder " may not include common/" to[2])
    return
  }
  if (folder ~ /^tests\//)
    return
  if (target == "gateway" && folder == "gateway/nginx")
    return
  fail(folder " may not include " target)
}

function check_handlers() {
  if (file ~ /^services\/[^\/]*\/[^\/]*_handlers\.[ch]$/ && path ~ /^common\/(storage|rpc)\//)
    fail("handlers know no storage and no transport: not " path)
  if (file ~ /^services\/[^\/]*\/[^\/]*_rules\.[ch]$/)
    rules_include[file, line] = path
}

FILENAME == "-" {
  exists[$1] = 1
  next
}

{
  file = $1
  line = $2
  path = $4
  folder = folder_of(file)
  if (path ~ /(^|\/)\.\.?\//) {
    fail("includes are paths from the root, without ./ and ../")
    next
  }
  if ($3 == "<") {
    check_angle(folder)
    next
  }
  if (is_generated(path)) {
    check_generated(folder)
    # What the generated queries include.
    if (path ~ /\/queries\.bh\.h$/)
      public["common/service/query.h"] = public["common/service/query_list.h"] = 1
    next
  }
  if (!(path in exists)) {
    fail("\"" path "\" is no header of the tree (paths are from the root)")
    next
  }
  check_ring(folder)
  check_handlers()
  if (file ~ /\.h$/)
    inner[file] = inner[file] " " path
  if (folder_of(path) == folder)
    at_home[path] = 1
  if (folder_of(path) != folder && folder !~ /^tests\//) {
    public[path] = 1
  }
}

# A header that other folders include must not bring a vendor's header along, itself or through another one.
function reach(header, from,    i, n, next_header) {
  if ((header, from) in seen)
    return
  seen[header, from] = 1
  if (header in vendor_include)
    printf "%s:1: other folders include this header, and it brings <%s> along%s\n", from, vendor_include[header],
           header == from ? "" : " (by " header ")"
  n = split(inner[header], next_header, " ")
  for (i = 1; i <= n; i++)
    if (next_header[i] != "")
      queue[++queued] = next_header[i] SUBSEP from
}

# Business rules are pure: nothing that they include, or that those headers include, may wait or speak to anybody.
function check_purity(where, header,    queue, visited, first, last, i, n, part, from) {
  split(where, from, SUBSEP)
  queue[1] = header
  last = 1
  for (first = 1; first <= last; first++) {
    if (queue[first] in visited)
      continue
    visited[queue[first]] = 1
    if (queue[first] ~ /^common\/(storage|rpc|runtime|discovery)\//) {
      printf "%s:%d: rules are pure: \"%s\" leads to \"%s\"\n", from[1], from[2], header, queue[first]
      return
    }
    n = split(inner[queue[first]], part, " ")
    for (i = 1; i <= n; i++)
      queue[++last] = part[i]
  }
}

END {
  # protoc-gen-bulkhead writes an include of it.
  public["common/service/stream.h"] = 1
  for (where in rules_include)
    check_purity(where, rules_include[where])
  for (header in at_home)
    if (header ~ /^common\/.*\.h$/ && !(header in public) && header !~ /_internal\.h$/)
      printf "%s:1: no other folder includes this header: its name ends in _internal.h\n", header
  for (header in public)
    queue[++queued] = header SUBSEP header
  for (at = 1; at <= queued; at++) {
    split(queue[at], pair, SUBSEP)
    reach(pair[1], pair[2])
  }
}
