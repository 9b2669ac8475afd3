-- wrk: POST /v1/auth/login. Each thread has one connection and every BENCH_CONNECTIONS-th of the accounts
-- bench-1@example.com to bench-BENCH_OWNERS@example.com (tests/bench/data.sh), to which it logs in in turn. As clients do,
-- it sends the deviceToken that the account's login before was answered with.
local threads = 0
local accounts = tonumber(os.getenv("BENCH_OWNERS"))
local step = tonumber(os.getenv("BENCH_CONNECTIONS"))
local headers = { ["Content-Type"] = "application/json" }
local devices = {}
local account

function setup(thread)
  threads = threads + 1
  thread:set("first", threads)
end

function request()
  account = account and account + step <= accounts and account + step or first
  return wrk.format("POST", "/v1/auth/login", headers,
    ('{"email":"bench-%d@example.com","password":"correct horse battery","deviceToken":"%s"}')
      :format(account, devices[account] or ""))
end

function response(status, _, body)
  if status == 200 then
    devices[account] = body:match('"deviceToken":"([^"]+)"')
  end
end
