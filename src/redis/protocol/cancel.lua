-- Takes an acquire back, whatever became of it: out of the queue, and free if it was granted.
--
-- ARGV   1 its entry in the queue up to the token, "deadline:ttl:mode", as far as it is known
-- Answer 1   it had been granted
--        2   it was in the queue
--        0   nothing was found

--#include grant.lua
--#include queue.lua

local entry = ARGV[rest]

--#for each lock

local found = 0
-- The server finds an entry that is known exactly at once; one that is not is looked for.
if entry and call('LREM', queue, '1', entry .. ':' .. me) == 1 then
  found = 2
else
  for _, mine in ipairs(entries_of_mine()) do
    call('LREM', queue, '1', mine[2])
    found = 2
  end
end
if call('GET', lock) == me then
  call('DEL', lock)
  found = 1
end
-- The first in the queue may be another now, of a free lock.
if found > 0 and call('EXISTS', lock) == 0 then promote(call('LINDEX', queue, '0')) end
return found
