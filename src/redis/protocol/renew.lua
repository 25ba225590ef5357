-- Renews or extends a lease of the caller's token, or finds out whether the token still holds the lock.
--
-- ARGV   1 the lease in milliseconds; 0 changes nothing
--        2 'e' exactly this lease, also if it is shorter than the present one; otherwise a longer one stays, since a renewal
--          may come late
-- Answer 1 plus the length of the queue   the token holds it
--        0                                it does not, and nothing was changed

local ttl, exactly = ARGV[first_arg], ARGV[first_arg + 1] == 'e'

--#for each lock

local owner = call('GET', lock)
if owner == my_token then
  local waiting = call('LLEN', queue)
  if ttl ~= '0' and (exactly or call('PTTL', lock) < tonumber(ttl)) then call('PEXPIRE', lock, ttl) end
  return 1 + waiting
end
-- Calls for exclusive tokens alone name no fence. They hold nothing together with others.
if not owner or #owner == 49 or not fence then return 0 end

--#include grant.lua
--#include holders.lua

look()
-- A holder whose own lease is over is none, however long the lock lasts for others.
local ends = lease_end(my_token)
if not ends then return 0 end
local waiting = call('LLEN', queue)
local lease = tonumber(ttl)
if lease > 0 and (exactly or ends < present + lease) then
  last_for(lease)
  call('ZADD', holders, digits(present + lease), my_token)
  if exactly then settle() end
end
if waiting == 0 then return 1 end

--#include queue.lua

-- A call that grants the lock to many stops at some number, and the first command of a new holder goes on.
serve_queue(call('LINDEX', queue, '0'))
return 1 + call('LLEN', queue)
