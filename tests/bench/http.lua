-- http.lua: wrk's requests. Arguments after --: kvnode or webdis, GET or POST, bytes of a value, number of keys.
-- The requests are made beforehand: a client that is busy formatting measures itself.

local requests, at = {}, 0

function init(args)
   local api, method, value, keys = args[1], args[2], string.rep("z", tonumber(args[3])), tonumber(args[4])
   math.randomseed(4)
   for i = 1, 20000 do
      local key = string.format("key:%012d", math.random(0, keys - 1))
      if api == "kvnode" and method == "GET" then
         requests[i] = wrk.format("GET", "/get?key=" .. key)
      elseif api == "kvnode" then
         local body = string.format('{"key":"%s","value":"%s"}', key, value)
         requests[i] = wrk.format("POST", "/set", { ["Content-Type"] = "application/json" }, body)
      elseif method == "GET" then
         requests[i] = wrk.format("GET", "/GET/" .. key)
      else
         requests[i] = wrk.format("POST", "/", {}, "SET/" .. key .. "/" .. value)
      end
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format("BENCH requests=%d errors=%d us=%d p50=%d p99=%d p999=%d", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.duration,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
