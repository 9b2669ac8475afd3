-- wrk: GET /v1/items/{id} over the ids in the file BENCH_IDS, each request with the token BENCH_TOKEN.
local requests = {}
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
local place = 0

-- Built before the load, so that the generator does little more than send.
function init()
  for id in io.lines(os.getenv("BENCH_IDS")) do
    requests[#requests + 1] = wrk.format("GET", "/v1/items/" .. id, headers)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end
