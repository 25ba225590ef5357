-- Takes the lock if it is free and nobody stands before us, or joins the queue.
--
-- ARGV   3 the lease in milliseconds
--        4 'm' join the queue, to be told by message; 'p' join it, to ask again; 'n' do not join
--        5 for how many milliseconds an entry in the queue counts as alive
--        6 the deadline of our entry, as far as we know it, or nothing
-- Answer 1, number, time, others in the queue   ours
--        0, lease left, time, deadline          somebody else's; we are in the queue
--        2, lease left, time, 0                 somebody else's; we are not
--
-- Asking again with the same token is safe: the owner gets the same number, with a lease that begins now.

local ttl, mode, lives, known = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

local owner = redis.call('GET', lock)
if owner == me then
  local number = tonumber(redis.call('GET', fence) or '0') or 0
  if number > 0 then
    redis.call('PEXPIRE', lock, ttl)
  else
    number = next_fence()
    own(me, ttl, number)
  end
  return { 1, number, now, redis.call('LLEN', queue) }
end

local deadline, before
if not owner then
  local number
  if redis.call('EXISTS', queue) == 1 then
    if mode ~= 'n' then deadline, before = stand_in_line(ttl, mode, lives, known) end
    owner, number = promote()
  end
  if not owner and redis.call('EXISTS', queue) == 0 then
    owner, number = me, next_fence()
    own(me, ttl, number)
  end
  if owner == me then return { 1, number, now, redis.call('LLEN', queue) } end
end

if mode == 'n' then return { 2, redis.call('PTTL', lock), now, 0 } end
if not deadline then deadline, before = stand_in_line(ttl, mode, lives, known) end
-- The holder may hand the lock on within its own process, until it knows that others wait. Told once more by each
-- later question of the first in the queue: messages may be lost.
if owner and before == 0 then tell(owner, 'wanted:' .. owner .. ':' .. lock) end
return { 0, redis.call('PTTL', lock), now, deadline }
