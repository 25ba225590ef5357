-- How a lock is granted. Included where a script may do so.

-- Microseconds since 1970. Lua's numbers keep them exact until the year 2255.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- The number of the latest grant, if it is kept still.
local latest

-- The number of the next grant (S2).
local function next_number()
  latest = tonumber(call('GET', fence) or '')
  return math.max((latest or 0) + 1, now)
end

-- Makes a token the owner of the lock, with the number that is next: it is read before, so that nothing is written if
-- that fails (S4). A number without an owner does no harm, so it is written first.
local function own(token, ttl, number)
  -- The number is kept for two days, twice as long as the longest lease; after that the clock alone has to have gone
  -- on. Its end is set anew in each hour of its use: to count up costs a third of that.
  local hour = 3600000000
  if latest and math.floor(latest / hour) == math.floor(number / hour) then
    -- As a text: some servers write a number with an exponent.
    call('INCRBY', fence, string.format('%.0f', number - latest))
  else
    -- Every digit, where tostring would round it.
    call('SET', fence, string.format('%.0f', number), 'EX', 172800)
  end
  call('SET', lock, token, 'PX', ttl)
end
