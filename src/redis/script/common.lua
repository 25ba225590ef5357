-- The beginning of every script: the keys, the time, and what more than one script does.
--
-- KEYS   1 the lock: a plain string, the owner's token, which expires with the lease
--        2 the queue: a list of entries "deadline:ttl:mode:token", first come, first served
--        3 the fence: the number of the latest grant
-- ARGV   1 the beginning of every inbox's name, or nothing if this client may not publish
--        2 the token of whoever asks; up to the first dot it names its inbox
--
-- What is kept true, by every script, since each runs alone:
--   S1  A lock is taken only while it is free, and only its owner's token extends, frees or hands it on.
--   S2  Every grant has a number above those of all grants before it, also if the clock went back.
--   S3  Nobody is granted a free lock while somebody who is alive stands before it in the queue.
--   S4  A script that fails has changed nothing that its caller does not undo: reads come before writes.

local lock, queue, fence = KEYS[1], KEYS[2], KEYS[3]
local inboxes, me = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
-- Microseconds since 1970. Lua's numbers keep them exact until the year 2255.
local now = clock[1] * 1000000 + clock[2]

-- A number with every digit, where tostring would round it.
local function digits(number)
  return string.format('%.0f', number)
end

-- The inbox of a token's owner, if the token is one of ours: other programs' tokens look as they like.
local function inbox_of(token)
  local inbox = string.match(token, '^(%x+)%.%x+$')
  return inbox and #inbox == 16 and inboxes .. inbox
end

-- Tells the owner of a token. Returns how many heard it.
local function tell(token, message)
  local inbox = inboxes ~= '' and inbox_of(token)
  if not inbox then return 0 end
  return redis.call('PUBLISH', inbox, message)
end

-- The number of the next grant (S2). Kept for two days, twice as long as the longest lease; after that the
-- clock alone has to have gone on.
local function next_fence()
  local latest = tonumber(redis.call('GET', fence) or '0') or 0
  return math.max(latest + 1, now)
end

-- Makes a token the owner of the lock.
local function own(token, ttl, number)
  redis.call('SET', lock, token, 'PX', ttl)
  redis.call('SET', fence, digits(number), 'EX', 172800)
end

-- Where the entry of whoever asks stands in the queue, or nil. Its deadline may be another than the one that the
-- asker knows, if an answer was lost.
local function place_of_mine(ttl, mode, known)
  local place = redis.call('LPOS', queue, digits(known) .. ':' .. ttl .. ':' .. mode .. ':' .. me)
  if place then return place end
  for at, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    if string.sub(entry, -#me) == me then return at - 1 end
  end
end

-- Puts whoever asks into the queue, or lets its entry live on. Returns the entry's deadline in milliseconds, and
-- how many stand before it.
local function stand_in_line(ttl, mode, lives, known)
  local present = math.floor(now / 1000)
  local deadline = present + lives
  local entry = digits(deadline) .. ':' .. ttl .. ':' .. mode .. ':' .. me
  local place = known and place_of_mine(ttl, mode, known)
  if not place then
    place = redis.call('RPUSH', queue, entry) - 1
  elseif known - present < lives / 2 then
    redis.call('LSET', queue, place, entry)
  else
    deadline = known
  end
  -- Longer than any entry lives, so that a queue whose processes are all gone disappears.
  redis.call('PEXPIRE', queue, 60000)
  return deadline, place
end

-- Grants a free lock to the first in the queue who is there to take it (S3). Returns its token and number, or
-- nothing if nobody could be told: then either the queue is empty, or its first comes for the lock by itself.
local function promote()
  while true do
    local first = redis.call('LINDEX', queue, 0)
    if not first then return end
    local deadline, ttl, mode, token = string.match(first, '^(%d+):(%d+):(%a):(.+)$')
    if token and tonumber(deadline) * 1000 >= now then
      if token ~= me and (mode == 'p' or inboxes == '') then return end
      local number = next_fence()
      redis.call('LPOP', queue)
      local grant = { 'granted', digits(number), digits(now), redis.call('LLEN', queue), token, lock }
      local there = token == me or tell(token, table.concat(grant, ':')) > 0
      if there then
        own(token, ttl, number)
        return token, number
      end
      -- Nobody listens: that process is gone, and so is its place.
    else
      redis.call('LPOP', queue)
    end
  end
end
