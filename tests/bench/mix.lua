-- wrk: requests of several kinds, spread evenly over the items that tests/bench/data.sh has stored.
--
--   BENCH_MIX      how many of a hundred are of which kind: "read=75 patch=15 list=5 create=5"
--   BENCH_CALLERS  a file with a line for each owner of items: id and access token
--   BENCH_ITEMS    how many items there are
--   BENCH_PAUSE_MS how long each connection waits before a request on average (0)
local items = tonumber(os.getenv("BENCH_ITEMS"))
local pause = tonumber(os.getenv("BENCH_PAUSE_MS") or "0")
local callers, kinds = {}, {}
local created, run

-- Item n belongs to caller n % #callers; the data says the same.
local function owner_of(n) return callers[n % #callers + 1] end
local function path_of(n) return ("/v1/items/00000000-0000-7000-8000-%012d"):format(n) end
local function get(path, caller) return "GET " .. path .. caller.head .. "\r\n" end
local function send(method, path, caller, body)
  return method .. " " .. path .. caller.head .. "Content-Type: application/json\r\nContent-Length: " .. #body ..
    "\r\n\r\n" .. body
end

local make = {}
function make.read()
  local n = math.random(items)
  return get(path_of(n), owner_of(n))
end
-- Of odd items only, because pgbench updates the even ones, and an etag of these in a cache would be out of date.
function make.patch()
  local n = 2 * math.random(items / 2) - 1
  return send("PATCH", path_of(n), owner_of(n), '{"quantity":' .. math.random(1000) .. "}")
end
-- Half by category, half by owner; newest first.
function make.list()
  local caller = callers[math.random(#callers)]
  if math.random(2) == 1 then
    return get("/v1/items?pageSize=50&category=category-" .. math.random(0, 199), caller)
  end
  return get("/v1/items?pageSize=50&ownerId=" .. caller.id, caller)
end
function make.create()
  created = created + 1
  local n = math.random(items)
  return send("POST", "/v1/items", owner_of(n), ('{"sku":"made-%s-%d","name":"Made %d","description":"%s","category":' ..
    '"category-%d","tags":["made"],"price":"12.50","currency":"EUR","quantity":1}'):format(run, created, created,
    ("Brass, with a linen shade and a long cord. "):rep(15), n % 200))
end

function init()
  math.randomseed(os.time())
  created, run = 0, os.time()
  for line in io.lines(os.getenv("BENCH_CALLERS")) do
    local id, token = line:match("(%S+) (%S+)")
    local head = (" HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"):format(wrk.headers["Host"], token)
    callers[#callers + 1] = { id = id, head = head }
  end
  for kind, share in os.getenv("BENCH_MIX"):gmatch("(%a+)=(%d+)") do
    for _ = 1, tonumber(share) do kinds[#kinds + 1] = make[kind] end
  end
end

function request() return kinds[math.random(#kinds)]() end

-- Without a pause wrk gets no function: it would put each request off by a turn of its loop.
if pause > 0 then
  function delay() return math.random(2 * pause) end
end
