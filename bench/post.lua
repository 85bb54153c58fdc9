-- wrk script: POSTs a JSON body and prints the results as one line of JSON.
-- wrk ... -s post.lua URL -- BODY_FILE
-- Replaces the eight zeros in the body by a new number each time, so that no cache has the prompt.

local before, after, number

function init(args)
  local file = assert(io.open(args[1], "rb"))
  before, after = file:read("*a"):match("^(.-)00000000(.*)$")
  file:close()
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
  number = os.time() % 10000 * 10000
end

function request()
  number = (number + 1) % 100000000
  return wrk.format(nil, nil, nil, before .. string.format("%08d", number) .. after)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"bad_status":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
