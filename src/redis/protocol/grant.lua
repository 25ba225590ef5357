-- How a lock is granted. Included where a script may do so.

-- Microseconds since 1970. Lua's numbers keep them exact until the year 2255.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Every digit, where a number that becomes a text by itself loses some.
local function digits(number)
  return string.format('%.0f', number)
end

-- The number of the latest grant of this call, once there is one.
local latest

-- Makes a token the owner of the lock. Returns the number of this grant.
local function own(token, ttl)
  -- The time, or the number after the counter's if the clock does not go on (S2). The counter comes first: if it cannot
  -- be written nothing is (S4), and a number without an owner does no harm. It is read by the command that writes it,
  -- once in a call: nothing else runs between the grants of one.
  local number = now
  if latest then
    number = latest + 1
    call('SET', fence, digits(number))
  else
    local before = tonumber(call('SET', fence, clock[1] .. string.format('%06d', clock[2]), 'GET') or '')
    -- What is no number, or has more digits than Lua keeps, is not from here: it is as if there were none.
    if before and before >= now and before < 9007199254740991 then
      number = before + 1
      call('SET', fence, digits(number))
    end
  end
  latest = number
  call('SET', lock, token, 'PX', ttl)
  return number
end
