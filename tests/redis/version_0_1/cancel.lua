-- Takes an acquire back, whatever became of it: out of the queue, and free if it was granted.
--
-- Answer 1   it had been granted
--        2   it was in the queue
--        0   nothing was found

--#include grant.lua
--#include queue.lua

--#for each lock

local found = 0
for _, entry in ipairs(call('LRANGE', queue, '0', '-1')) do
  if string.sub(entry, -#me) == me then
    call('LREM', queue, '1', entry)
    found = 2
  end
end
if call('GET', lock) == me then
  call('DEL', lock)
  found = 1
end
-- Whoever stood behind us may be the first in line for a free lock now.
if found > 0 and call('EXISTS', lock) == 0 then promote(call('LINDEX', queue, '0')) end
return found
