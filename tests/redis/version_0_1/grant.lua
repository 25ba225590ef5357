-- How a lock is granted. Included where a script may do so.

-- Microseconds since 1970. Lua's numbers keep them exact until the year 2255.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Every digit, where a number that becomes a text by itself loses some.
local function digits(number)
  return string.format('%.0f', number)
end

-- Makes a token the owner of the lock. Returns the number of this grant.
local function own(token, ttl)
  -- The time, or the number after the latest if the clock does not go on (S2). The latest is read before, so that
  -- nothing is written if that fails (S4). A number without an owner does no harm, so it is written first.
  local latest = tonumber(call('GET', fence) or '')
  local number = latest and latest >= now and latest + 1 or now
  -- It is kept for two days, twice as long as the longest lease; after that the clock alone has to have gone on. Its end
  -- is set anew in each half hour of its use: to count up costs a third of that. What is added is less than 2^31, which
  -- every server can write as a whole number.
  local half_hour = 1800000000
  if latest and math.floor(latest / half_hour) == math.floor(number / half_hour) then
    call('INCRBY', fence, string.format('%d', number - latest))
  else
    call('SET', fence, digits(number), 'EX', '172800')
  end
  call('SET', lock, token, 'PX', ttl)
  return number
end
