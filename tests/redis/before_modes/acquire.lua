-- Takes a lock if it is free and no live waiter is before the caller, or joins the queue.
--
-- ARGV   1 the lease in milliseconds
--        2 'm' join the queue, and wait for a notification; 'p' join it, and poll; 'n' do not join. After 'm' the claim
--          lease in milliseconds: the lease of a grant by notification until its owner confirms it
--        3 the deadline of the caller's entry, as far as the caller knows it
-- Answer number                                 granted, with that number; the queue is empty
--        1, number, time, others in the queue   granted
--        0, lease left, time, deadline          another owner has it; the caller is in the queue
--        3, lease left, time, deadline          the same, with a new entry: the known one was removed though it had not
--                                               reached its deadline
--        2, lease left, time, 0                 another owner has it; the caller is not in the queue
--        4, 0, time, 0                          not decided: the queue has too many dead entries for one call. Repeat it
--
-- To repeat it with the same token is safe. The owner gets a new number, above all that were granted until then, and a lease
-- that begins now, unless the present one ends later: the call may come late.

--#include grant.lua

local ttl = ARGV[first_arg]

--#for each lock

if call('EXISTS', lock, queue) == 0 then return grant(my_token, ttl) end

--#include queue.lua

local mode, claim = string.match(ARGV[first_arg + 1], '^(%a)(%d*)$')
local known = tonumber(ARGV[first_arg + 2])
if claim == '' then claim = ttl end
local owner = call('GET', lock)

if owner == my_token then
  local lease = string.format('%d', math.max(call('PTTL', lock), tonumber(ttl)))
  -- First, since it is allowed when the server's memory is full, and after an allowed write the others are as well.
  call('PEXPIRE', lock, lease)
  return { 1, grant(my_token, lease), now, call('LLEN', queue) }
end

local deadline, first, dropped
if not owner then
  local number
  if mode ~= 'n' then deadline, first, dropped = join_queue(claim, mode, known) end
  owner, number = grant_next(call('LINDEX', queue, '0'), ttl)
  if not owner and call('EXISTS', queue) == 0 then
    owner, number = my_token, grant(my_token, ttl)
  end
  if owner == my_token then return { 1, number, now, call('LLEN', queue) } end
end

-- The lock is free, and not all dead entries are removed: the next call goes on with them.
local unfinished = not owner and removals_left <= 0
if mode == 'n' then
  if unfinished then return { 4, 0, now, 0 } end
  return { 2, call('PTTL', lock), now, 0 }
end
if not deadline then deadline, first, dropped = join_queue(claim, mode, known) end
-- The holder may hand the lock over within its own process until it knows that other processes wait. It is notified each time
-- that the first in the queue calls, since a notification may be lost.
if first and owner then notify(owner, 'wanted:' .. owner .. ':' .. lock) end
return { dropped and 3 or 0, unfinished and 0 or call('PTTL', lock), now, deadline }
