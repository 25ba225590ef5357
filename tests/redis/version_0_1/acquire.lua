-- Takes a lock if it is free and nobody stands before us, or joins the queue.
--
-- ARGV   1 the lease in milliseconds
--        2 'm' join the queue, to be told by message; 'p' join it, to ask again; 'n' do not join
--        3 the deadline of our entry, as far as we know it
-- Answer 1, number, time, others in the queue   ours
--        time                                   ours, with that time as its number; nobody is in the queue
--        0, lease left, time, deadline          somebody else's; we are in the queue
--        2, lease left, time, 0                 somebody else's; we are not
--
-- Asking again with the same token is safe: the owner gets the same number, with a lease that begins now,
-- unless it has a longer one by now: the question may come late.

--#include grant.lua

local ttl = ARGV[rest]

--#for each lock

if call('EXISTS', lock, queue) == 0 then
  local number = own(me, ttl)
  if number == now then return now end
  return { 1, number, now, 0 }
end

--#include queue.lua

local mode, known = ARGV[rest + 1], tonumber(ARGV[rest + 2])
local owner = call('GET', lock)

if owner == me then
  local number = tonumber(call('GET', fence) or '0') or 0
  if number > 0 then
    if call('PTTL', lock) < tonumber(ttl) then call('PEXPIRE', lock, ttl) end
  else
    number = own(me, ttl)
  end
  return { 1, number, now, call('LLEN', queue) }
end

local deadline, first
if not owner then
  local number
  if mode ~= 'n' then deadline, first = stand_in_line(ttl, mode, known) end
  owner, number = promote(call('LINDEX', queue, '0'))
  if not owner and call('EXISTS', queue) == 0 then
    owner, number = me, own(me, ttl)
  end
  if owner == me then return { 1, number, now, call('LLEN', queue) } end
end

if mode == 'n' then return { 2, call('PTTL', lock), now, 0 } end
if not deadline then deadline, first = stand_in_line(ttl, mode, known) end
-- The holder may hand the lock on within its own process, until it knows that others wait. Said each time that the
-- first in the queue asks, since a message may be lost.
if first and owner then tell(owner, 'wanted:' .. owner .. ':' .. lock) end
return { 0, call('PTTL', lock), now, deadline }
