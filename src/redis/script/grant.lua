-- The beginning of every script: the keys, and how a lock is granted.
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
--
-- A server makes everything that a script defines each time that it runs: the usual case comes first, and what only
-- the others need after it.

local call = redis.call
local lock, queue, fence = KEYS[1], KEYS[2], KEYS[3]
local inboxes, me = ARGV[1], ARGV[2]

-- Microseconds since 1970. Lua's numbers keep them exact until the year 2255.
local function time()
  local clock = call('TIME')
  return clock[1] * 1000000 + clock[2]
end

-- The number of the next grant (S2). It is kept for two days, twice as long as the longest lease; after that the
-- clock alone has to have gone on.
local function next_number(now)
  return math.max((tonumber(call('GET', fence) or '0') or 0) + 1, now)
end

-- Makes a token the owner of the lock. The number is read before, so that nothing is written if that fails (S4).
local function own(token, ttl, number)
  call('SET', lock, token, 'PX', ttl)
  -- Every digit, where tostring would round it.
  call('SET', fence, string.format('%.0f', number), 'EX', 172800)
end
