-- Load for wrk: requests one page, each time with another cookie. Prints the result as JSON.

local requests = {}
local number = 0

function init(args)
    for cookie in io.lines(args[2]) do
        requests[#requests + 1] = wrk.format("GET", args[1], { ["Cookie"] = cookie })
    end
    if #requests == 0 then
        requests[1] = wrk.format("GET", args[1], {})
    end
end

function request()
    number = number % #requests + 1
    return requests[number]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.status + errors.connect + errors.read + errors.write + errors.timeout
    ))
end
