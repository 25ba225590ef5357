-- Takes a lock if it is free and nobody stands before us, or joins the queue.
--
-- ARGV   1 the lease in milliseconds
--        2 'm' join the queue, to be told by message; 'p' join it, to ask again; 'n' do not join. After an 'm' the
--          claim lease in milliseconds: what a grant by message lasts, until its owner says that it has it
--        3 the deadline of our entry, as far as we know it
-- Answer number                                 ours, with that number; nobody is in the queue
--        1, number, time, others in the queue   ours
--        0, lease left, time, deadline          somebody else's; we are in the queue
--        3, lease left, time, deadline          the same, with a new entry: the one that we knew was dropped though it
--                                               had not come to its deadline
--        2, lease left, time, 0                 somebody else's; we are not in the queue
--        4, 0, time, 0                          not known: there are too many dead in the queue for one call. Ask again
--
-- Asking again with the same token is safe. The owner gets a new number, above all that were granted until then, and a
-- lease that begins now, unless it has a longer one by now: the question may come late.

--#include grant.lua

local ttl = ARGV[rest]

--#for each lock

if call('EXISTS', lock, queue) == 0 then return own(me, ttl) end

--#include queue.lua

local mode, claim = string.match(ARGV[rest + 1], '^(%a)(%d*)$')
local known = tonumber(ARGV[rest + 2])
if claim == '' then claim = ttl end
local owner = call('GET', lock)

if owner == me then
  local lease = string.format('%d', math.max(call('PTTL', lock), tonumber(ttl)))
  -- First, since it is allowed when memory is full, and after it the rest is.
  call('PEXPIRE', lock, lease)
  return { 1, own(me, lease), now, call('LLEN', queue) }
end

local deadline, first, dropped
if not owner then
  local number
  if mode ~= 'n' then deadline, first, dropped = stand_in_line(claim, mode, known) end
  owner, number = promote(call('LINDEX', queue, '0'), ttl)
  if not owner and call('EXISTS', queue) == 0 then
    owner, number = me, own(me, ttl)
  end
  if owner == me then return { 1, number, now, call('LLEN', queue) } end
end

-- Free, and not through with the dead: whoever asks next goes on.
local unfinished = not owner and may_drop <= 0
if mode == 'n' then
  if unfinished then return { 4, 0, now, 0 } end
  return { 2, call('PTTL', lock), now, 0 }
end
if not deadline then deadline, first, dropped = stand_in_line(claim, mode, known) end
-- The holder may hand the lock on within its own process, until it knows that others wait. Said each time that the
-- first in the queue asks, since a message may be lost.
if first and owner then tell(owner, 'wanted:' .. owner .. ':' .. lock) end
return { dropped and 3 or 0, unfinished and 0 or call('PTTL', lock), now, deadline }
