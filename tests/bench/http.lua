-- http.lua: wrk's requests. Arguments after --: kvnode or webdis, GET or POST, bytes of a value, number of keys, a seed.
-- All but the key's number is made beforehand, since a client that is busy formatting measures itself; the number is
-- drawn for each request, since a few thousand prepared keys are a table that fits into a processor's cache.

local before, after, keys

function init(args)
   local api, method, value = args[1], args[2], string.rep("z", tonumber(args[3]))
   keys = tonumber(args[4])
   math.randomseed(tonumber(args[5]))
   -- As long as every key's number, so that the Content-Length is right for all.
   local number, request = "############"
   local key = "key:" .. number
   if api == "kvnode" and method == "GET" then
      request = wrk.format("GET", "/get?key=" .. key)
   elseif api == "kvnode" then
      local body = string.format('{"key":"%s","value":"%s"}', key, value)
      request = wrk.format("POST", "/set", { ["Content-Type"] = "application/json" }, body)
   elseif method == "GET" then
      request = wrk.format("GET", "/GET/" .. key)
   else
      request = wrk.format("POST", "/", {}, "SET/" .. key .. "/" .. value)
   end
   local first, last = request:find(number, 1, true)
   before, after = request:sub(1, first - 1), request:sub(last + 1)
end

function request()
   return before .. string.format("%012d", math.random(0, keys - 1)) .. after
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format("BENCH requests=%d errors=%d us=%d p50=%d p99=%d p999=%d", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.duration,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
