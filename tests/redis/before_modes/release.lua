-- Frees a lock of the caller's token, or hands it over to the first in the queue.
--
-- Answer 1   the token owned it
--        0   it did not, and nothing was changed

--#for each lock

if call('GET', lock) ~= my_token then return 0 end
-- A delete is allowed when the server's memory is full, and after it the rest of the script is as well.
call('DEL', lock)
local first = call('LINDEX', queue, '0')
if not first then return 1 end

--#include grant.lua
--#include queue.lua

grant_next(first)
return 1
