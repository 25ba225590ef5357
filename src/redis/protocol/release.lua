-- Frees a lock of ours, or hands it to the first in the queue.
--
-- Answer 1   it was ours
--        0   it was not, and nothing was changed

--#for each lock

if call('GET', lock) ~= me then return 0 end
-- A delete is allowed when memory is full, and after it the rest of the script is.
call('DEL', lock)
local first = call('LINDEX', queue, '0')
if not first then return 1 end

--#include grant.lua
--#include queue.lua

promote(first)
return 1
