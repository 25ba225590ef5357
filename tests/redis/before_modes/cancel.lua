-- Cancels an acquire in any state: removes its entry from the queue, and frees the lock if it was granted.
--
-- ARGV   1 its entry in the queue up to the token, "deadline:ttl:mode", as far as it is known
-- Answer 1   it had been granted
--        2   it was in the queue
--        0   neither

--#include grant.lua
--#include queue.lua

local entry = ARGV[first_arg]

--#for each lock

local found = 0
-- The server finds an entry at once that is known exactly. Otherwise it is searched for.
if entry and call('LREM', queue, '1', entry .. ':' .. my_token) == 1 then
  found = 2
else
  for _, mine in ipairs(find_my_entries()) do
    call('LREM', queue, '1', mine[2])
    found = 2
  end
end
if call('GET', lock) == my_token then
  call('DEL', lock)
  found = 1
end
-- The lock may be free now, or have been kept for the waiter whose entry was removed.
if found > 0 and call('EXISTS', lock) == 0 then grant_next(call('LINDEX', queue, '0')) end
return found
