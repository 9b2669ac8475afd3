-- wrk: POST /v1/auth/refresh. Each thread has one connection and one session, whose refresh token is a line of the file
-- BENCH_REFRESH, and goes on with the token that it was answered with last.
local threads = 0
local headers = { ["Content-Type"] = "application/json" }

function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end

function init()
  local line = 0
  for text in io.lines(os.getenv("BENCH_REFRESH")) do
    if line == place then
      token = text
    end
    line = line + 1
  end
end

function request()
  return wrk.format("POST", "/v1/auth/refresh", headers, '{"refreshToken":"' .. token .. '"}')
end

function response(status, _, body)
  if status == 200 then
    token = body:match('"refreshToken":"([^"]+)"')
  end
end
