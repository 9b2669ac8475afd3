-- wrk: POST /v1/auth/login, each request for the next of the accounts bench-1@example.com to bench-BENCH_OWNERS@example.com
-- (tests/bench/data.sh).
local accounts = tonumber(os.getenv("BENCH_OWNERS"))
local headers = { ["Content-Type"] = "application/json" }
local place = 0

function request()
  place = place % accounts + 1
  return wrk.format("POST", "/v1/auth/login", headers,
    ('{"email":"bench-%d@example.com","password":"correct horse battery"}'):format(place))
end
