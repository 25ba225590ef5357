-- Granting a lock. Included by the scripts that may grant one.

-- Microseconds since 1970. Lua's numbers hold them exactly until the year 2255.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- All digits of a number. Lua's own conversion to a string loses some.
local function digits(number)
  return string.format('%.0f', number)
end

-- The number of the latest grant of this call, if there was one.
local latest

-- Makes a token the only owner of the lock, or does nothing with it if there is no token. Returns the number of this grant.
local function grant(token, ttl)
  -- The number is the time, or the counter's plus one if the clock has not gone on (S2). The counter is written first: if
  -- that fails nothing is written (S4), and a number without an owner does no harm. The command that writes it also reads
  -- the previous one, once in a call: nothing else runs between the grants of one call.
  local number = now
  if latest then
    number = latest + 1
    call('SET', fence, digits(number))
  else
    local before = tonumber(call('SET', fence, clock[1] .. string.format('%06d', clock[2]), 'GET') or '')
    -- A value that is not a number, or has more digits than Lua keeps, was not written by these scripts and is ignored.
    if before and before >= now and before < 9007199254740991 then
      number = before + 1
      call('SET', fence, digits(number))
    end
  end
  latest = number
  if token then call('SET', lock, token, 'PX', ttl) end
  return number
end
