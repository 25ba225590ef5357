-- Renews or extends a lease of the caller's token, or finds out whether the token still owns the lock.
--
-- ARGV   1 the lease in milliseconds; 0 changes nothing
--        2 'e' exactly this lease, also if it is shorter than the present one; otherwise a longer one stays, since a renewal
--          may come late
-- Answer 1 plus the length of the queue   the token owns it
--        0                                it does not, and nothing was changed

local ttl, exactly = ARGV[first_arg], ARGV[first_arg + 1] == 'e'

--#for each lock

if call('GET', lock) ~= my_token then return 0 end
local waiting = call('LLEN', queue)
if ttl ~= '0' and (exactly or call('PTTL', lock) < tonumber(ttl)) then call('PEXPIRE', lock, ttl) end
return 1 + waiting
