-- Lets a lease of ours begin anew, or looks whether it is still ours.
--
-- ARGV   1 the lease in milliseconds; 0 only looks
--        2 'e' exactly this lease, also if that is shorter; else a longer one stays, since a renewal may come late
-- Answer 1 and as many more as are in the queue   ours
--        0                                        not ours, and nothing was changed

local ttl, exactly = ARGV[rest], ARGV[rest + 1] == 'e'

--#for each lock

if call('GET', lock) ~= me then return 0 end
local waiting = call('LLEN', queue)
if ttl ~= '0' and (exactly or call('PTTL', lock) < tonumber(ttl)) then call('PEXPIRE', lock, ttl) end
return 1 + waiting
