-- Takes a lock if it has room for the caller and no live waiter is before it, or joins the queue.
--
-- ARGV   1 the lease in milliseconds
--        2 'm' join the queue, and wait for a notification; 'p' join it, and poll; 'n' do not join. After 'm' the claim
--          lease in milliseconds: the lease of a grant by notification until its owner confirms it
--        3 the deadline of the caller's entry, as far as the caller knows it
--        4 there if any token of the call is not exclusive
-- Answer number                                 granted, with that number; the queue is empty
--        1, number, time, others in the queue   granted; for a permit its number follows
--        0, time left, time, deadline           others have it; the caller is in the queue
--        3, time left, time, deadline           the same, with a new entry: the known one was removed though it had not
--                                               reached its deadline
--        2, time left, time, 0                  others have it; the caller is not in the queue
--        4, 0, time, 0                          not decided: there are too many dead entries or holders for one call. Repeat it
--
-- The time left is that after which to ask again makes sense. It is that until the first of the leases ends which the caller
-- waits for: of permits for the first in the queue, otherwise of the lock.
--
-- To repeat it with the same token is safe. The owner gets a new number, above all that were granted until then, and a lease
-- that begins now, unless the present one ends later: the call may come late. A holder that shares the lock has the number of
-- its phase, and a permit stays the same.

--#include grant.lua

local ttl = ARGV[first_arg]

--#for each lock

if call('EXISTS', lock, queue) == 0 and not ARGV[first_arg + 3] then return grant(my_token, ttl) end

--#include holders.lua
--#include queue.lua

local joining, claim = string.match(ARGV[first_arg + 1], '^(%a)(%d*)$')
local known = tonumber(ARGV[first_arg + 2])
if claim == '' then claim = ttl end
local mode, permits = mode_of(my_token)
local owner = look()

if owner == my_token then
  local lease = string.format('%d', math.max(call('PTTL', lock), tonumber(ttl)))
  -- First, since it is allowed when the server's memory is full, and after an allowed write the others are as well.
  call('PEXPIRE', lock, lease)
  -- The token of a permit owns the lock alone where scripts have granted it that know no permits.
  return { 1, grant(my_token, lease), now, call('LLEN', queue), mode == 'p' and 0 or nil }
end
local ends = lease_end(my_token)
if ends then
  local lease = math.max(ends - present, tonumber(ttl))
  last_for(lease)
  call('ZADD', holders, digits(present + lease), my_token)
  local number = phase or grant()
  return { 1, number, now, call('LLEN', queue), mode == 'p' and tonumber(call('ZSCORE', holders, '#' .. my_token)) or nil }
end

local deadline, was_first, dropped
if held ~= 'x' then
  local number, permit
  local room = has_room(mode, permits)
  local is_alone = room and call('EXISTS', queue) == 0
  if not is_alone then
    if joining ~= 'n' then deadline, was_first, dropped = join_queue(claim, joining, known) end
    number, permit = serve_queue(call('LINDEX', queue, '0'), ttl, room)
    is_alone = not number and call('EXISTS', queue) == 0 and has_room(mode, permits)
  end
  if is_alone then number, permit = grant_beside(my_token, mode, ttl) end
  if number then return { 1, number, now, call('LLEN', queue), permit } end
end

-- The lock has room, and not all that is dead is removed: the next call goes on with it.
local unfinished = held ~= 'x' and removals_left <= 0
if joining == 'n' then
  if unfinished then return { 4, 0, now, 0 } end
  return { 2, call('PTTL', lock), now, 0 }
end
if not deadline then deadline, was_first, dropped = join_queue(claim, joining, known) end
local left = unfinished and 0 or call('PTTL', lock)
if was_first then
  -- A process may hand the lock over to others of its own callers until it knows that other processes wait. It is notified each
  -- time that the first in the queue calls, since a notification may be lost.
  if held == 'x' and owner then
    notify(owner, 'wanted:' .. owner .. ':' .. lock)
  elseif held == 's' then
    for _, holder in ipairs(call('ZRANGE', holders, '-64', '-1')) do
      notify(holder, 'wanted:' .. holder .. ':' .. lock)
    end
  elseif held == 'p' and mode == 'p' and not unfinished then
    -- All but one less than it may have have to go: the last of them decides.
    local rank = digits(-permits)
    local last = call('ZRANGE', holders, rank, rank, 'WITHSCORES')
    left = math.max(0, (tonumber(last[2]) or present) - present)
  end
end
return { dropped and 3 or 0, left, now, deadline }
