-- Frees a lock of the caller's token, or hands it over to the first in the queue.
--
-- ARGV   1 for how many milliseconds from now it stays taken all the same, without a holder; without it not at all
-- Answer 1   the token held it
--        0   it did not, and nothing was changed

local keep = ARGV[first_arg]

--#for each lock

local owner = call('GET', lock)
if owner == my_token and not keep then
  -- A delete is allowed when the server's memory is full, and after it the rest of the script is as well.
  call('DEL', lock)
elseif not owner or #owner == 49 and owner ~= my_token then
  return 0
end
local first = call('LINDEX', queue, '0')
if not first and owner == my_token and not keep then return 1 end

--#include grant.lua
--#include holders.lua
--#include queue.lua

if owner ~= my_token or keep then
  if look() ~= my_token and not lease_end(my_token) then return 0 end
  remove(my_token, keep)
end
serve_queue(first)
return 1
