-- Cancels an acquire in any state: removes its entry from the queue, and frees the lock if it was granted.
--
-- ARGV   1 its entry in the queue up to the token, "deadline:ttl:mode", as far as it is known, or nothing
--        2 if it was granted, for how many milliseconds from now the lock stays taken all the same, without a holder; without it not
--          at all
-- Answer 1   it had been granted
--        2   it was in the queue
--        0   neither

local entry, keep = ARGV[first_arg] or '', ARGV[first_arg + 1]

--#for each lock

--#include grant.lua
--#include holders.lua
--#include queue.lua

local found = 0
-- The server finds an entry at once that is known exactly. Otherwise it is searched for.
if entry ~= '' and call('LREM', queue, '1', entry .. ':' .. my_token) == 1 then
  found = 2
else
  for _, mine in ipairs(find_my_entries()) do
    call('LREM', queue, '1', mine[2])
    found = 2
  end
end
if look() == my_token or lease_end(my_token) then
  remove(my_token, keep)
  found = 1
end
-- The lock may be free now, or have been kept for the waiter whose entry was removed.
if found > 0 then serve_queue(call('LINDEX', queue, '0')) end
return found
